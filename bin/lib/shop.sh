# shop.sh: fastr's own processes and NGINX in front of them. Sourced after supervise.sh.

FASTR_INSTANCES=${FASTR_INSTANCES:-2}
FASTR_TOPOLOGY=${FASTR_TOPOLOGY:-many}

check_options() {
  case $FASTR_INSTANCES in [1-8]) ;; *) die "FASTR_INSTANCES is '$FASTR_INSTANCES'; it must be 1 to 8" ;; esac
  case $FASTR_TOPOLOGY in one | many) ;; *) die "FASTR_TOPOLOGY is '$FASTR_TOPOLOGY'; it must be one or many" ;; esac
}

render_all() {
  render_servers
  render conf/redis/redis.conf "$VAR/conf/redis.conf"
  render conf/kafka/broker.properties "$VAR/conf/kafka.properties"
  render_supervisor
}

service_programs() { :; }

# What fastr's processes are told about this instance (bin/fastr reads it), and what people are told (var/shop.env).
write_environment() {
  local password
  password=$(secret postgres)
  cat >"$VAR/fastr.env" <<ENV
FASTR_PG_PRIMARY=hostaddr=127.0.0.1,127.0.0.1,127.0.0.1 port=$PG_PRIMARY_PORT,$PG_R1_PORT,$PG_R2_PORT dbname=shop
FASTR_PG_REPLICAS=hostaddr=127.0.0.1 port=$PG_R1_PORT dbname=shop;hostaddr=127.0.0.1 port=$PG_R2_PORT dbname=shop
FASTR_PG_PASSFILE=$VAR/secrets/pgpass
FASTR_REDIS_ADDRESS=127.0.0.1:$REDIS_PORT
FASTR_KAFKA_BROKERS=127.0.0.1:$KAFKA_PORT
FASTR_SMTP_URL=smtp://127.0.0.1:$SMTP_PORT
FASTR_PUBLIC_URL=http://127.0.0.1:$HTTP_PORT
ENV
  (umask 077; cat >"$VAR/shop.env.new" <<ENV
SHOP_URL=http://127.0.0.1:$HTTP_PORT
ADMIN_EMAIL=admin@shop.example
ADMIN_PASSWORD=$(secret admin_password)
INBOX_URL=http://127.0.0.1:$INBOX_PORT
PG_PRIMARY=postgresql://postgres:$password@127.0.0.1:$PG_PRIMARY_PORT/shop
PG_REPLICAS=postgresql://postgres:$password@127.0.0.1:$PG_R1_PORT/shop,postgresql://postgres:$password@127.0.0.1:$PG_R2_PORT/shop
REDIS_URL=redis://127.0.0.1:$REDIS_PORT
KAFKA_BROKERS=127.0.0.1:$KAFKA_PORT
ENV
  )
  mv "$VAR/shop.env.new" "$VAR/shop.env"
}

start_shop() { :; }
