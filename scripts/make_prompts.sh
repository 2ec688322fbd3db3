#!/bin/sh
# Make the words of the simulated agent and of the demo's caller: 16-bit mono WAV, 8 kHz.
#
# Needs espeak-ng and sox (on Debian: apt-get install espeak-ng sox). The results are part of the package;
# run this again only when the words change. The agent's words are in audiosocket_gw/testing/simulator/prompts.py.
set -eu
cd "$(dirname "$0")/.."
: "${PYTHON:=python3}"

# speak VOICE PITCH WORDS FILE: brisk speech, without the silence around it, 40 ms of it put back at the
# end, at a level that leaves room below clipping.
speak() {
    espeak-ng -v "$1" -p "$2" -s 190 --stdout "$3" |
        sox -t wav - -b 16 -c 1 -r 8000 -D "$4" \
            silence 1 0.01 0.3% reverse silence 1 0.01 0.3% reverse pad 0 0.04 gain -n -4
}

"$PYTHON" -c 'from audiosocket_gw.testing.simulator.prompts import WORDS
for name, words in WORDS.items(): print(name, words, sep="\t")' |
    while IFS="$(printf '\t')" read -r name words; do
        speak en-us+f3 55 "$words" "audiosocket_gw/testing/simulator/prompts/$name.wav" </dev/null
    done

caller_says() { speak en-gb 40 "$2" "audiosocket_gw/testing/demo/$1.wav"; }
caller_says opening-hours 'What are your opening hours?'
caller_says interruption 'Wait, stop. I have another question.'
caller_says transfer 'Can you put me through to sales?'
caller_says goodbye 'Thank you, goodbye.'
