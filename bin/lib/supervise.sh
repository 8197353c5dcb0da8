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
