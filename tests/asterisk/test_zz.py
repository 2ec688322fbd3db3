import pytest, asyncio, time
from tests.asterisk.line import *
from tests.asterisk.sound import *
@pytest.mark.limit(120)
@pytest.mark.parametrize("ext",["5001","5002"])
async def test_mm(lab, ext):
    sent, said = noise(60, seed=3), noise(60, seed=4)
    (lab.recordings / f"mm.sln").write_bytes(said)
    async def speak(line):
        await line.play(bytes(32000)+sent); line.hang_up(); print("hung up")
    async with answering(lab.ports.gateway, speak) as lines, lab.call(ext, "both-mm") as w:
        line = await lines.get()
        try:
          async with asyncio.timeout(70): await line.ended.wait()
        except TimeoutError: print("TIMEOUT")
        print(len(line.audio), said in line.heard)
        print(w.log()[-2500:])
    await asyncio.sleep(1)
    h = read_wav(lab.recordings/"mm-heard.wav")
    print("MM", ext, sent in h, len(h), len(sent))
    from itertools import groupby
    pos=[]
    for k in range(0,len(sent),320):
        i=h.find(sent[k:k+320]); pos.append((i-k)//2 if i>=0 else None)
    print([(k,len(list(g))) for k,g in groupby(pos)])
