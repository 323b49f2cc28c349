#!/usr/bin/env bash
# The first crossing: Sampan beside OpenSSH's sftp on this machine's loopback, both ways.
#
#   assets/bench/first-crossing.sh target/release [FOLDER]
#
# (a) one file of 1 GiB, (b) 10,000 files of 4 KiB in 100 folders; put and get of each, against
# `sftp -c aes128-gcm@openssh.com`. Rounds are interleaved; what is told are medians and the ratio
# of the two. Every result is compared byte for byte before it counts. Times hold the whole command,
# login included. Sampan's files are on disk when it answers, sftp's are not: SFTP_FLAGS=-f makes
# sftp flush too.
#
# FOLDER (default: TMPDIR or /tmp) is where everything happens and is cleared away afterwards. ext4
# is slow to create files for minutes after many were deleted, so between two runs take another file
# system, or wait. Smaller or longer: MIB=64 FILES=1000 FOLDERS=10 ROUNDS=5. About two minutes; eight
# at most for each round.
set -euo pipefail

MIB=${MIB:-1024} FILES=${FILES:-10000} FOLDERS=${FOLDERS:-100} ROUNDS=${ROUNDS:-3}
SFTP_FLAGS=${SFTP_FLAGS:-}
LIMIT=60 # seconds for one transfer

fail() { printf 'first-crossing: %s\n' "$*" >&2; exit 1; }

[ $# -ge 1 ] || { sed -n '2,/^set /s/^# \{0,1\}//p' "$0" | sed '$d'; exit 2; }
for number in "$MIB" "$FILES" "$FOLDERS" "$ROUNDS"; do
  [[ $number =~ ^[1-9][0-9]*$ ]] || fail "MIB, FILES, FOLDERS and ROUNDS are whole numbers from 1 on"
done
BIN=$(cd "$1" 2>/dev/null && pwd) || fail "no such folder: $1"
for program in sampan sampand; do
  [ -x "$BIN/$program" ] || fail "no $program in $BIN; run: cargo build --release --workspace"
done
SSHD=$(PATH=$PATH:/usr/sbin:/usr/local/sbin command -v sshd) ||
  fail "no sshd here; on Debian or Ubuntu run: apt-get install openssh-server"
for program in sftp ssh-keygen; do
  command -v "$program" >/dev/null ||
    fail "no $program here; on Debian or Ubuntu run: apt-get install openssh-client"
done
for program in awk cmp diff head split sort timeout df; do
  command -v "$program" >/dev/null ||
    fail "no $program here; on Debian or Ubuntu run: apt-get install coreutils diffutils mawk"
done

WORK=$(mktemp -d "${2:-${TMPDIR:-/tmp}}/first-crossing-XXXXXX")
WORK=$(cd "$WORK" && pwd)
SAMPAND='' SSHD_PID=''
finish() {
  local code=$?
  trap - EXIT INT TERM
  for process in $SAMPAND $SSHD_PID; do
    kill "$process" 2>/dev/null || true
    wait "$process" 2>/dev/null || true
  done
  rm -rf "$WORK"
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM

needed=$((5 * MIB + (5 * ROUNDS * FILES * 8) / 1024 + 256))
free=$(df -Pm "$WORK" | awk 'NR == 2 {print $4}')
[ "$free" -ge "$needed" ] || fail "$WORK has $free MiB free, $needed are needed; name another folder"

# ---- what is carried

printf 'making %s MiB and %s files of 4 KiB in %s folders …\n' "$MIB" "$FILES" "$FOLDERS" >&2
mkdir "$WORK/source"
head -c "${MIB}M" /dev/urandom > "$WORK/source/big"
left=$FILES
for ((folder = 0; folder < FOLDERS; folder++)); do
  share=$((left / (FOLDERS - folder)))
  left=$((left - share))
  mkdir -p "$WORK/source/tree/$folder"
  head -c $((share * 4096)) /dev/urandom |
    split -a 5 -d -b 4096 - "$WORK/source/tree/$folder/file-"
done

# ---- the two servers

export SAMPAN_HOME=$WORK/client
SAMPAND_DATA=$WORK/data
mkdir -m 700 "$SAMPAND_DATA" "$SAMPAN_HOME"
printf 'crossing\n' > "$WORK/password"
chmod 600 "$WORK/password"
: > "$WORK/config.toml"
server=(--data "$SAMPAND_DATA" --config "$WORK/config.toml")

"$BIN/sampand" user add bench --password-stdin "${server[@]}" < "$WORK/password" > "$WORK/user.out" 2>&1 ||
  fail "sampand user add: $(cat "$WORK/user.out")"
"$BIN/sampand" serve --listen 127.0.0.1:0 "${server[@]}" > "$WORK/sampand.out" 2> "$WORK/sampand.log" &
SAMPAND=$!

# Waits until the words given hold, at most ten seconds; fails early if a process ended.
until_true() {
  local process=$1 log=$2 try
  shift 2
  for ((try = 0; try < 200; try++)); do
    "$@" && return 0
    kill -0 "$process" 2>/dev/null || break
    sleep 0.05
  done
  fail "a server did not come up: $(tail -n 5 "$log")"
}
is_listening() { grep -q '^listening on .* fingerprint ' "$WORK/sampand.out"; }
until_true "$SAMPAND" "$WORK/sampand.log" is_listening
PORT=$(sed -n 's/^listening on .*:\([0-9]*\) fingerprint .*/\1/p' "$WORK/sampand.out" | head -n 1)
PRINT=$(sed -n 's/^listening on .* fingerprint //p' "$WORK/sampand.out" | head -n 1)

mkdir -m 700 "$WORK/ssh"
ssh-keygen -q -t ed25519 -N '' -f "$WORK/ssh/host"
ssh-keygen -q -t ed25519 -N '' -f "$WORK/ssh/user"
cp "$WORK/ssh/user.pub" "$WORK/ssh/authorized"
# sshd as root wants this folder of its own, whatever the configuration.
[ "$(id -u)" -ne 0 ] || [ -d /run/sshd ] || mkdir -m 755 /run/sshd
can_connect() { (exec 3<> "/dev/tcp/127.0.0.1/$SSH_PORT") 2>/dev/null; }
for ((try = 0; ; try++)); do
  [ "$try" -lt 20 ] || fail "no free port for sshd: $(tail -n 5 "$WORK/ssh/log")"
  SSH_PORT=$((20000 + RANDOM % 12000))
  can_connect && continue
  cat > "$WORK/ssh/config" <<CONFIG
Port $SSH_PORT
ListenAddress 127.0.0.1
HostKey "$WORK/ssh/host"
AuthorizedKeysFile "$WORK/ssh/authorized"
PidFile none
PasswordAuthentication no
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
UseDNS no
Subsystem sftp internal-sftp
CONFIG
  "$SSHD" -D -e -f "$WORK/ssh/config" 2> "$WORK/ssh/log" &
  SSHD_PID=$!
  for ((wait = 0; wait < 100; wait++)); do
    { ! kill -0 "$SSHD_PID" 2>/dev/null || can_connect; } && break
    sleep 0.05
  done
  kill -0 "$SSHD_PID" 2>/dev/null && break
  grep -q 'Cannot bind\|already in use' "$WORK/ssh/log" || fail "sshd: $(tail -n 5 "$WORK/ssh/log")"
done
printf '[127.0.0.1]:%s %s\n' "$SSH_PORT" "$(cut -d ' ' -f 1,2 "$WORK/ssh/host.pub")" > "$WORK/ssh/known"

# ---- one transfer each

run_sampan() { # SUBCOMMAND ARGUMENT…
  timeout "$LIMIT" "$BIN/sampan" "$1" --quiet -P "$PORT" --fingerprint "$PRINT" "${@:2}"
}
run_sftp() { # one line of a batch
  # shellcheck disable=SC2086 # flags are words
  timeout "$LIMIT" sftp -q $SFTP_FLAGS -b - -F none -c aes128-gcm@openssh.com -P "$SSH_PORT" \
    -i "$WORK/ssh/user" -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes \
    -o UserKnownHostsFile="\"$WORK/ssh/known\"" "$(id -un)@127.0.0.1" <<< "$1"
}

# A key, so that both sides log in by one.
timeout 60 "$BIN/sampan" login -P "$PORT" --fingerprint "$PRINT" --password-file "$WORK/password" \
  bench@127.0.0.1 > "$WORK/login.out" 2>&1 || fail "sampan login: $(cat "$WORK/login.out")"

HOME_FOLDER=$SAMPAND_DATA/homes/bench
SFTP_FOLDER=$WORK/sftp
PLACE=bench@127.0.0.1
mkdir "$SFTP_FOLDER" "$WORK/got"

# Runs a command and notes its seconds under a name.
measure() {
  local name=$1 begun ended
  shift
  sync -f "$WORK" # so that nobody pays for another one's unwritten data
  begun=$EPOCHREALTIME
  "$@" > "$WORK/last.out" 2>&1 || fail "$name failed: $(tail -n 5 "$WORK/last.out")"
  ended=$EPOCHREALTIME
  awk -v a="${begun/,/.}" -v b="${ended/,/.}" 'BEGIN {printf "%.3f\n", b - a}' >> "$WORK/times-$name"
}
same_file() { cmp "$WORK/source/big" "$1" >&2 || fail "$1 is not what was sent"; }
same_tree() { diff -r "$WORK/source/tree" "$1" >&2 || fail "$1 is not what was sent"; }

put_get_sampan() { # ROUND
  local here="$WORK/got/sampan-$1"
  mkdir "$here"
  measure put-big-sampan run_sampan put "$WORK/source/big" "$PLACE:$1/"
  same_file "$HOME_FOLDER/$1/big"
  measure get-big-sampan run_sampan get "$PLACE:$1/big" "$here/"
  same_file "$here/big"
  rm "$here/big"
  timeout "$LIMIT" "$BIN/sampan" rm -P "$PORT" --fingerprint "$PRINT" "$PLACE:$1/big"
  measure put-tree-sampan run_sampan put "$WORK/source/tree" "$PLACE:$1/"
  same_tree "$HOME_FOLDER/$1/tree"
  measure get-tree-sampan run_sampan get "$PLACE:$1/tree" "$here/"
  same_tree "$here/tree"
}

put_get_sftp() { # ROUND
  local there="$SFTP_FOLDER/$1" here="$WORK/got/sftp-$1"
  mkdir "$there" "$here"
  measure put-big-sftp run_sftp "put \"$WORK/source/big\" \"$there/big\""
  same_file "$there/big"
  measure get-big-sftp run_sftp "get \"$there/big\" \"$here/big\""
  same_file "$here/big"
  rm "$here/big" "$there/big"
  measure put-tree-sftp run_sftp "put -r \"$WORK/source/tree\" \"$there/tree\""
  same_tree "$there/tree"
  measure get-tree-sftp run_sftp "get -r \"$there/tree\" \"$here/tree\""
  same_tree "$here/tree"
}

cat "$WORK/source/big" > /dev/null # from memory for the first one too
for ((round = 1; round <= ROUNDS; round++)); do
  printf 'round %s of %s …\n' "$round" "$ROUNDS" >&2
  # Who goes first changes, so that neither always meets the other's leavings.
  if ((round % 2)); then
    put_get_sampan "$round"; put_get_sftp "$round"
  else
    put_get_sftp "$round"; put_get_sampan "$round"
  fi
done

# ---- what came out

median() { sort -n "$WORK/times-$1" | awk '{a[NR] = $1} END {print (a[int((NR + 1) / 2)] + a[int(NR / 2) + 1]) / 2}'; }
row() { # NAME LABEL GOAL MEGABYTES
  awk -v label="$2" -v goal="$3" -v mb="$4" -v ours="$(median "$1-sampan")" -v theirs="$(median "$1-sftp")" 'BEGIN {
    ratio = ours / theirs
    printf "%-22s %9.2f %9.2f %10.0f %10.0f %8.2f   %s %.2f: %s\n", label, ours, theirs, mb / ours, mb / theirs,
      ratio, "at most", goal, ratio <= goal ? "met" : "missed"
  }'
}
printf '\n%s rounds, medians, every result compared byte for byte; %s, %s\n' "$ROUNDS" \
  "$(ssh -V 2>&1 | cut -d , -f 1)" "$("$BIN/sampan" --version 2>/dev/null | head -n 1)"
printf '%-22s %9s %9s %10s %10s %8s   %s\n' '' 'sampan s' 'sftp s' 'sampan MB/s' 'sftp MB/s' 'ratio' 'goal'
big_mb=$(awk -v m="$MIB" 'BEGIN {print m * 1.048576}')
tree_mb=$(awk -v n="$FILES" 'BEGIN {print n * 4096 / 1e6}')
row put-big "put $MIB MiB" 1 "$big_mb"
row get-big "get $MIB MiB" 1 "$big_mb"
row put-tree "put $FILES x 4 KiB" 0.5 "$tree_mb"
row get-tree "get $FILES x 4 KiB" 0.5 "$tree_mb"
