# engines.sh: ports, PostgreSQL primary and replicas, Redis, Kafka, the inbox. Sourced after stack.sh and install.sh.

# ---- ports: one block of a hundred, chosen once, kept in var/ports.env --------------------------------------------

ports_in_use() { cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk '$4 == "0A" { split($2, a, ":"); print a[2] }'; }

# block_free BASE: no one listens on any port of it.
block_free() {
  local hex
  for hex in $(ports_in_use); do
    [ $((16#$hex)) -lt "$1" ] || [ $((16#$hex)) -ge $(($1 + 100)) ] || return 1
  done
}

# Below 32768, where the kernel takes ports of outgoing connections from, and away from well-known defaults.
choose_base() {
  local base tries
  for tries in $(seq 200); do
    base=$((12000 + (RANDOM % 200) * 100))
    block_free "$base" && { echo "$base"; return; }
  done
  echo "no free block of 100 ports between 12000 and 32000" >&2
  return 1
}

load_ports() {
  local base=""
  [ ! -s "$VAR/ports.env" ] || base=$(sed -n 's/^BASE_PORT=//p' "$VAR/ports.env")
  if [ -z "$base" ] || { ! supervised && ! block_free "$base"; }; then
    [ -z "$base" ] || say "  configure   a port of $base to $((base + 99)) is taken by something else now: other ports from here on"
    base=$(choose_base)
    echo "BASE_PORT=$base" >"$VAR/ports.env"
  fi
  BASE_PORT=$base HTTP_PORT=$base INBOX_PORT=$((base + 1)) SMTP_PORT=$((base + 2))
  PG_PRIMARY_PORT=$((base + 3)) PG_R1_PORT=$((base + 4)) PG_R2_PORT=$((base + 5))
  REDIS_PORT=$((base + 6)) KAFKA_PORT=$((base + 7)) KAFKA_CONTROLLER_PORT=$((base + 8)) INTERNAL_PORT=$((base + 9))
  SERVICE_PORT=$((base + 10)) # eight for each service
  ONE_PORT=$((base + 99)) # the process that has all
}

# ---- folders ---------------------------------------------------------------------------------------------------------

# Where the engines' files are: see stack.sh.
choose_data() {
  DATA=$VAR
  [ "$(id -u)" = 0 ] && id postgres >/dev/null 2>&1 || return 0
  runuser -u postgres -- test -x "$VAR" || DATA=/var/lib/fastr-$(printf %s "$VAR" | sha256sum | cut -c1-10)
}

make_folders() {
  mkdir -p "$VAR"/{conf,log,run,secrets} "$DATA"/{redis,inbox,kafka,nginx,pg}
  chmod 700 "$VAR/secrets" "$DATA/inbox"
  find "$VAR/secrets" -type f -exec chmod 600 {} +
  chown "$PGUSER_OS" "$DATA/pg"
  chmod 700 "$DATA/pg"
}

# ---- PostgreSQL ------------------------------------------------------------------------------------------------------

# psql as the superuser on the primary; its own commits need no replica, so that it works while they are being made.
admin_psql() {
  PGPASSWORD=$(secret postgres) PGOPTIONS="-c synchronous_commit=local -c client_min_messages=warning" \
    psql -X -q -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$PG_PRIMARY_PORT" -U postgres "$@"
}

# pg_answers PORT
pg_answers() { "$PGBIN/pg_isready" -q -h 127.0.0.1 -p "$1"; }

render_postgres() {
  local PG_NAME=$1 PG_PORT=$2 PG_SYNCHRONOUS=$3 PG_SLOT="" PG_CONNINFO=""
  if [ "$PG_NAME" != primary ]; then
    PG_SLOT=$PG_NAME
    PG_CONNINFO="host=127.0.0.1 port=$PG_PRIMARY_PORT user=replicator passfile=$DATA/pg/replicator.pass application_name=$PG_NAME"
  fi
  render conf/postgres/postgresql.conf "$DATA/pg/$PG_NAME.conf"
}

render_servers() {
  render_postgres primary "$PG_PRIMARY_PORT" "ANY 1 (r1, r2)"
  render_postgres r1 "$PG_R1_PORT" ""
  render_postgres r2 "$PG_R2_PORT" ""
  render conf/postgres/hba.conf "$DATA/pg/hba.conf"
  : >"$DATA/pg/ident.conf"
  (umask 077; printf '*:*:*:replicator:%s\n' "$(secret replicator)" >"$DATA/pg/replicator.pass")
  chown "$PGUSER_OS" "$DATA"/pg/*.conf "$DATA/pg/replicator.pass"
}

# Made beside its place and moved there whole, so that an interrupted run leaves nothing half made.
init_primary() {
  [ ! -d "$DATA/pg/primary" ] || return 0
  rm -rf "$DATA/pg/primary.new"
  (umask 077; secret postgres >"$DATA/pg/password")
  chown "$PGUSER_OS" "$DATA/pg/password"
  as_postgres "$PGBIN/initdb" -D "$DATA/pg/primary.new" -U postgres --pwfile="$DATA/pg/password" --auth=scram-sha-256 \
    --encoding=UTF8 --locale=C.UTF-8 --data-checksums
  rm "$DATA/pg/password"
  mv "$DATA/pg/primary.new" "$DATA/pg/primary"
}

create_replicator() {
  REPLICATOR_PASSWORD=$(secret replicator) admin_psql -d postgres <<'SQL'
\getenv password REPLICATOR_PASSWORD
SELECT 'CREATE ROLE replicator LOGIN REPLICATION' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'replicator') \gexec
ALTER ROLE replicator PASSWORD :'password';
SQL
}

start_primary() {
  init_primary
  start pg-primary
  wait_for 120 "PostgreSQL (primary)" pg_answers "$PG_PRIMARY_PORT"
  create_replicator
}

# clone_replica NAME: a base backup of the primary, with a slot that keeps what the replica still needs.
clone_replica() {
  [ ! -d "$DATA/pg/$1" ] || return 0
  rm -rf "$DATA/pg/$1.new"
  admin_psql -d postgres -c "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '$1'"
  PGPASSFILE=$DATA/pg/replicator.pass as_postgres "$PGBIN/pg_basebackup" -h 127.0.0.1 -p "$PG_PRIMARY_PORT" -U replicator \
    -D "$DATA/pg/$1.new" -X stream -C -S "$1" --checkpoint=fast
  as_postgres touch "$DATA/pg/$1.new/standby.signal"
  mv "$DATA/pg/$1.new" "$DATA/pg/$1"
}

replicas_stream() {
  [ "$(admin_psql -d postgres -Atc "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND application_name IN ('r1', 'r2')")" = 2 ]
}

start_replicas() {
  clone_replica r1
  clone_replica r2
  start pg-r1
  start pg-r2
  wait_for 120 "PostgreSQL (r1)" pg_answers "$PG_R1_PORT"
  wait_for 120 "PostgreSQL (r2)" pg_answers "$PG_R2_PORT"
  wait_for 60 "both replicas to stream" replicas_stream
}

# Database `shop`, and for each service its schema and two roles (sql/roles.sql); passwords go to var/secrets/pgpass.
create_roles() {
  local name count prefixes pgpass=$VAR/secrets/pgpass
  echo "SELECT 'CREATE DATABASE shop' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'shop') \gexec" |
    admin_psql -d postgres
  (umask 077; : >"$pgpass.new")
  while read -r name count prefixes; do
    SERVICE=$name OWNER_PASSWORD=$(secret "pg_${name}_owner") PASSWORD=$(secret "pg_$name") admin_psql -d shop -f sql/roles.sql
    printf '*:*:shop:%s_owner:%s\n*:*:shop:%s:%s\n' "$name" "$(secret "pg_${name}_owner")" "$name" "$(secret "pg_$name")" >>"$pgpass.new"
  done < <(services)
  mv "$pgpass.new" "$pgpass"
}

# ---- Redis, Kafka, inbox ---------------------------------------------------------------------------------------------

redis_answers() { [ "$(redis-cli -h 127.0.0.1 -p "$REDIS_PORT" ping)" = PONG ]; }

start_redis() {
  start redis
  wait_for 30 "Redis" redis_answers
}

format_kafka() {
  [ ! -s "$DATA/kafka/meta.properties" ] || return 0
  local id
  id=$(head -c 16 /dev/urandom | base64 | tr '+/' 'AB' | cut -c1-22)
  java -Xmx128m -cp "$KAFKA_LIBS/*" kafka.tools.StorageTool format -t "$id" -c "$VAR/conf/kafka.properties"
}

start_kafka() {
  format_kafka
  start kafka
  # shellcheck disable=SC2046
  /usr/bin/python3 conf/kafka/topics.py "127.0.0.1:$KAFKA_PORT" 12 $(topics)
}

inbox_answers() { curl -fsS -m 5 "http://127.0.0.1:$INBOX_PORT/healthz"; }

start_inbox() {
  local program
  program=$(sha256sum <conf/inbox/inbox.py)
  if running inbox && [ "$(cat "$VAR/run/inbox" 2>/dev/null)" != "$program" ]; then supervisor restart inbox; fi
  start inbox
  echo "$program" >"$VAR/run/inbox"
  wait_for 30 "the inbox" inbox_answers
}
