import pytest, asyncio, numpy as np
from tests.asterisk.line import *
from tests.asterisk.sound import *
@pytest.mark.limit(120)
@pytest.mark.parametrize("ext",["5001","5002"])
async def test_mm(lab, ext):
    sent, said = noise(60, seed=3), noise(60, seed=4)
    (lab.recordings / f"mm.sln").write_bytes(said)
    async def speak(line):
        await line.play(bytes(32000)+sent); line.hang_up()
    async with answering(lab.ports.gateway, speak) as lines, lab.call(ext, "both-mm"):
        line = await lines.get()
        await line.ended.wait()
    await asyncio.sleep(1)
    h = read_wav(lab.recordings/"mm-heard.wav")
    print("MM", ext, sent in h, len(h), len(sent), "said:", said[:len(line.heard)-64000] in line.heard)
    a=np.frombuffer(h,np.int16); s=np.frombuffer(sent,np.int16)
    # find runs
    pos=0; blocks=[]
    sb=sent
    for n in range(0,len(s),160):
        blk=sb[2*n:2*n+320]; i=h.find(blk); blocks.append(i//2-n if i>=0 else None)
    from itertools import groupby
    print([(k,len(list(g))) for k,g in groupby(blocks)])
