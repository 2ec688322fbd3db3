#!/bin/bash
# Print a signed UUID for a call: docs/security.md#signed-uuids. Needs bash and sha256sum, nothing of the gateway.
#
#   signed-uuid.sh [FILE]    FILE has UUID_SECRET of the gateway, in one line (default: /etc/asterisk/uuid-secret)
#
# The secret is never an argument of a program, which other users could see.
set -euo pipefail
LC_ALL=C
secret=$(<"${1:-/etc/asterisk/uuid-secret}")
if ((${#secret} < 32 || ${#secret} > 64)); then
    echo "signed-uuid.sh: the secret has ${#secret} characters, it needs 32 to 64" >&2
    exit 2
fi

# Print the secret as HMAC's key (RFC 2104): filled up with zeros to 64 bytes, each combined with $1.
key() {
    local byte escaped="" i
    for ((i = 0; i < 64; i++)); do
        printf -v byte %d "'${secret:i:1}"
        printf -v escaped '%s\\x%02x' "$escaped" $((byte ^ $1))
    done
    printf %b "$escaped"
}

# Print the bytes that the hexadecimal digits $1 stand for.
bytes() {
    local escaped="" i
    for ((i = 0; i < ${#1}; i += 2)); do
        escaped+="\\x${1:i:2}"
    done
    printf %b "$escaped"
}

nonce=$(od -An -N4 -tu4 /dev/urandom)
printf -v digits '%08x%07x' "$(printf '%(%s)T' -1)" $((nonce & 0xfffffff))
signed=${digits:0:8}-${digits:8:4}-8${digits:12:3}
inner=$({ key 0x36; printf %s "$signed"; } | sha256sum)
outer=$({ key 0x5c; bytes "${inner%% *}"; } | sha256sum)
echo "$signed-a${outer:0:3}-${outer:3:12}"
