# stack.sh: what every command in bin/ shares: where things are, progress, waiting, supervisor. Sourced by bash.
#
# ROOT is the checkout, VAR its state (FASTR_VAR, default var): var/ports.env, var/conf/ (rendered settings), var/log/,
# var/run/ (sockets, locks), var/secrets/. DATA is where the engines keep their files: VAR, or /var/lib/fastr-HASH when
# the user `postgres` cannot enter VAR (a home of mode 0700).
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
cd "$ROOT"
umask 022
VAR=${FASTR_VAR:-var}
case $VAR in /*) ;; *) VAR=$ROOT/$VAR ;; esac
VAR=$(realpath -ms -- "$VAR") # one name for one folder, also when it was given as var/ or ./var
export FASTR_VAR=$VAR
case $VAR in
  *[[:space:]\'\"%,\;]*) echo "fastr: this path has a blank, quote, comma, semicolon or %: $VAR; settings of the engines cannot hold it" >&2; exit 1 ;;
esac
[ "${#VAR}" -le 70 ] || { echo "fastr: this path is too long for Unix sockets in it (70 at most): $VAR" >&2; exit 1; }

PGBIN=/usr/lib/postgresql/15/bin
SOCKET=$VAR/run/supervisor # not *.sock: those are the masters, which speak to each other
export PATH=$PATH:/usr/sbin:/sbin

if [ "$(id -u)" = 0 ]; then PGUSER_OS=postgres; else PGUSER_OS=$(id -un); fi

STEP=""          # what runs now, for the report of a failure
STEP_LOG=""      # its log

say() { printf '%s\n' "$*"; }

die() { printf 'fastr: %s\n' "$*" >&2; exit 1; }

seconds_since() { awk -v a="$1" -v b="$(date +%s.%N)" 'BEGIN { printf "%.1f", b - a }'; }

# step NAME TEXT COMMAND...: runs it with its output in var/log/up-NAME.log, and shows one line: what, and how long.
step() {
  local name=$1 text=$2 begun
  shift 2
  begun=$(date +%s.%N)
  STEP="$name: $text" STEP_LOG=$VAR/log/up-$name.log
  [ -t 1 ] && printf '  %-11s %s ...\r' "$name" "$text"
  "$@" >"$STEP_LOG" 2>&1 </dev/null
  printf '  %-11s %-62s %6s s\n' "$name" "$text" "$(seconds_since "$begun")"
  STEP="" STEP_LOG=""
}

# What a step says goes to its log; what is said of its failure goes to the terminal.
exec 7>&2

# The EXIT trap of a command that uses steps: says what failed and shows the end of its log.
report_failure() {
  local status=$?
  [ "$BASHPID" = $$ ] || return "$status" # a subshell
  [ "$status" != 130 ] || { printf '\nfastr: interrupted; the same command goes on where this one stopped\n' >&7; return "$status"; }
  [ "$status" = 0 ] || [ -z "$STEP" ] || {
    printf '\nfastr: failed at %s\n' "$STEP" >&7
    [ ! -s "$STEP_LOG" ] || { tail -n 30 "$STEP_LOG" | sed 's/^/    /'; echo "fastr: the whole log is $STEP_LOG"; } >&7
  }
  return "$status"
}

# wait_for SECONDS WHAT COMMAND...: until the command succeeds; fails, naming what it waited for, after the deadline.
wait_for() {
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || { echo "waited in vain for $what"; return 1; }
    sleep 0.1
  done
}

# retry TIMES COMMAND...: for downloads.
retry() {
  local left=$1 pause=2
  shift
  until "$@"; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || return 1
    echo "again in $pause s: $1"
    sleep "$pause"
    pause=$((pause * 2))
  done
}

# render FROM TO: replaces each @NAME@ by the shell variable NAME; a name without a variable is an error.
render() {
  local text name
  text=$(<"$1")
  while [[ $text =~ @([A-Z][A-Z0-9_]*)@ ]]; do
    name=${BASH_REMATCH[1]}
    [ -n "${!name+set}" ] || { echo "$1: @$name@ has no value"; return 1; }
    text=${text//"@$name@"/"${!name}"}
  done
  printf '%s\n' "$text" >"$2.new"
  mv "$2.new" "$2"
}

# A secret of this installation, made at first use: var/secrets/NAME, mode 0600.
secret() {
  local file=$VAR/secrets/$1
  if [ ! -s "$file" ]; then
    (umask 077; head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$file.new"; mv "$file.new" "$file")
  fi
  cat "$file"
}

# as_postgres COMMAND...: PostgreSQL refuses to run as root.
as_postgres() {
  if [ "$(id -u)" = 0 ]; then (cd / && runuser -u postgres -- "$@"); else "$@"; fi
}

supervisor() { supervisorctl -c "$VAR/conf/supervisord.conf" "$@"; }

supervised() { [ -S "$SOCKET" ] && supervisor pid >/dev/null 2>&1; }

running() { supervisor status "$1" 2>/dev/null | grep -q ' RUNNING '; }

# start PROGRAM: idempotent. On failure the program's own last words are what the reader needs.
start() {
  running "$1" && return
  supervisor start "$1" || running "$1" || { STEP_LOG=$VAR/log/$1.log; return 1; }
}

# rows of conf/services as NAME COUNT PREFIX...
services() {
  local name count prefixes
  while read -r name count prefixes; do
    case $name in '' | '#'*) continue ;; esac
    [ "$count" = n ] && count=$FASTR_INSTANCES
    echo "$name $count $prefixes"
  done <"$ROOT/conf/services"
}

topics() { grep -v '^#' "$ROOT/conf/kafka/topics" | sed 'p; s/$/.dlq/'; }
