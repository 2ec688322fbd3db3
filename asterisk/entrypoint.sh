#!/bin/sh
# Write this deployment's settings, then run Asterisk. Arguments are passed to Asterisk.
#
#   AUDIOSOCKET_GATEWAY  where the gateway listens, host:port (default: as in extensions.conf)
#   SIP_PASSWORD         password of phone 1001 (default: a new one at every start, shown in the log)
#   EXTERNAL_ADDRESS     this machine's address for phones, if it is behind NAT
#   AMI_PASSWORD         password of the manager user `gateway` (default: random, so that no login is possible)
#   AMI_CLIENT           the IPv4 address that may log in over the network (default: none, only this machine)
set -eu

config=${CONFIG_DIR:-/etc/asterisk}

# A semicolon starts a comment in Asterisk's files, and a line break a new setting.
check() {
    case $2 in
    *[!A-Za-z0-9._:-]*)
        echo "entrypoint.sh: $1 has a character other than A-Z a-z 0-9 . _ : -" >&2
        exit 2
        ;;
    esac
}

password() {
    od -An -N12 -tx1 /dev/urandom | tr -d ' \n'
}

check AUDIOSOCKET_GATEWAY "${AUDIOSOCKET_GATEWAY:=}"
check SIP_PASSWORD "${SIP_PASSWORD:=}"
check EXTERNAL_ADDRESS "${EXTERNAL_ADDRESS:=}"
check AMI_PASSWORD "${AMI_PASSWORD:=}"
check AMI_CLIENT "${AMI_CLIENT:=}"

if [ -z "$SIP_PASSWORD" ]; then
    SIP_PASSWORD=$(password)
    echo "SIP_PASSWORD is not set: the password of phone 1001 is $SIP_PASSWORD until the next start"
fi

umask 077
{
    if [ -n "$AUDIOSOCKET_GATEWAY" ]; then
        printf '[globals](+)\nGATEWAY = %s\n' "$AUDIOSOCKET_GATEWAY"
    fi
} >"$config/extensions_local.conf"
{
    printf '[1001-auth](+)\npassword = %s\n' "$SIP_PASSWORD"
    if [ -n "$EXTERNAL_ADDRESS" ]; then
        printf '[transport-udp](+)\nexternal_media_address = %s\nexternal_signaling_address = %s\n' \
            "$EXTERNAL_ADDRESS" "$EXTERNAL_ADDRESS"
    fi
} >"$config/pjsip_local.conf"
{
    printf '[gateway](+)\nsecret = %s\n' "${AMI_PASSWORD:-$(password)}"
    if [ -n "$AMI_CLIENT" ]; then
        printf 'permit = %s/255.255.255.255\n[general](+)\nbindaddr = 0.0.0.0\n' "$AMI_CLIENT"
    fi
} >"$config/manager_local.conf"

exec asterisk -f "$@"
