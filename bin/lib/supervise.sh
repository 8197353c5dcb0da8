# supervise.sh: var/conf/supervisord.conf, and the daemon itself. Sourced after engines.sh.

# program NAME STOPSIGNAL FOLDER COMMAND [more lines of the section]: nothing starts by itself, bin/up starts in order; what
# has run once is started again when it ends.
program() {
  cat <<INI

[program:$1]
command=$4
directory=$3
autostart=false
autorestart=true
startretries=100000
startsecs=1
stopsignal=$2
stopwaitsecs=45
killasgroup=true
redirect_stderr=true
stdout_logfile=$VAR/log/$1.log
stdout_logfile_maxbytes=20MB
stdout_logfile_backups=1
${5:-}
INI
}

postgres_program() {
  local user=""
  [ "$(id -u)" != 0 ] || user=user=postgres
  program "pg-$1" INT "$DATA/pg" "$PGBIN/postgres -D $DATA/pg/$1 --config-file=$DATA/pg/$1.conf" "$user"
}

engine_programs() {
  postgres_program primary
  postgres_program r1
  postgres_program r2
  program redis TERM "$ROOT" "redis-server $VAR/conf/redis.conf"
  program kafka TERM "$ROOT" "java -Xms256m -Xmx320m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dlog4j2.configurationFile=$ROOT/conf/kafka/log4j2.properties -cp $KAFKA_LIBS/* kafka.Kafka $VAR/conf/kafka.properties"
  program inbox TERM "$ROOT" "/usr/bin/python3 $ROOT/conf/inbox/inbox.py $DATA/inbox $SMTP_PORT $INBOX_PORT"
}

render_supervisor() {
  local SUPERVISOR_USER=""
  [ "$(id -u)" != 0 ] || SUPERVISOR_USER="user=root"
  render conf/supervisor/supervisord.conf "$VAR/conf/supervisord.base"
  { cat "$VAR/conf/supervisord.base"; engine_programs; service_programs; } >"$VAR/conf/supervisord.conf.new"
  rm "$VAR/conf/supervisord.base"
  mv "$VAR/conf/supervisord.conf.new" "$VAR/conf/supervisord.conf"
}

# Started once; run again it takes in changed sections, which stops (only) their programs.
start_supervisor() {
  if supervised; then
    supervisor update
    return
  fi
  rm -f "$SOCKET"
  # Not in this terminal's session, and without the locks and pipes of this shell.
  setsid supervisord -c "$VAR/conf/supervisord.conf" 7>&- 8>&- 9>&- </dev/null
  wait_for 30 "supervisord" supervised
}

# named PATTERN: of the pids on standard input, those of programs with such a name.
named() {
  local pid
  while read -r pid; do [[ $(cat "/proc/$pid/comm" 2>/dev/null) =~ ^($1)$ ]] && echo "$pid"; done || true
}

# The processes of this instance. A child of supervisord is known by its environment; NGINX and Redis write their titles
# over that, and are known by NGINX's log and Redis's folder.
own_processes() {
  {
    grep -lzxF "SUPERVISOR_SERVER_URL=unix://$SOCKET" /proc/[0-9]*/environ | cut -d/ -f3
    find /proc/[0-9]*/fd -lname "$(realpath -m "$VAR/log")/access.log*" | cut -d/ -f3 | named nginx
    find /proc/[0-9]*/cwd -lname "$(realpath -m "$DATA/redis")" | cut -d/ -f3 | named redis-server
  } 2>/dev/null | sort -u || true
}

# What a supervisord that was killed left running, and NGINX's workers whose master was: none of these is started again
# when it ends, and all keep their ports and files. Printed are those without a parent among them.
left_behind() {
  local pid parent ours
  ours=$(own_processes)
  for pid in $ours; do
    parent=$(awk '$1 == "PPid:" { print $2 }' "/proc/$pid/status" 2>/dev/null) || continue
    [ "$(cat "/proc/$parent/comm" 2>/dev/null)" != supervisord ] || continue
    grep -qx "$parent" <<<"$ours" || echo "$pid"
  done
}

none_left() { [ -z "$(left_behind | named "$1")" ]; }

# end_left_behind [PATTERN]: ends these programs in their own way, each kind after those that need it.
end_left_behind() {
  local names pid
  for names in "${1:-nginx|fastr}" ${1:-'java|redis-server|python3' postgres}; do
    for pid in $(left_behind | named "$names"); do
      case $(cat "/proc/$pid/comm") in nginx) kill -QUIT "$pid" ;; postgres) kill -INT "$pid" ;; *) kill "$pid" ;; esac || true
    done
    wait_for 60 "$names, which a supervisord that was killed had left, to end" none_left "$names"
  done
}
