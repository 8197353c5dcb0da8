# shop.sh: fastr's own processes and NGINX in front of them. Sourced after supervise.sh.

FASTR_INSTANCES=${FASTR_INSTANCES:-2}
FASTR_TOPOLOGY=${FASTR_TOPOLOGY:-many}
FASTR_BUILD=${FASTR_BUILD:-build}   # the folder of the binary

check_options() {
  case $FASTR_INSTANCES in [1-8]) ;; *) die "FASTR_INSTANCES is '$FASTR_INSTANCES'; it must be 1 to 8" ;; esac
  case $FASTR_TOPOLOGY in one | many) ;; *) die "FASTR_TOPOLOGY is '$FASTR_TOPOLOGY'; it must be one or many" ;; esac
}

# ---- who listens where -------------------------------------------------------------------------------------------------

# One line for each process: PROGRAM PORT SERVICE... In topology `one` a single process serves all but the payment
# provider, which stands for somebody else's machine and always runs apart.
processes() {
  local name count prefixes i port=$SERVICE_PORT all=""
  while read -r name count prefixes; do
    if [ "$FASTR_TOPOLOGY" = one ] && [ "$name" != provider ]; then
      all="$all $name"
    else
      for i in $(seq "$count"); do echo "$name-$i $((port + i - 1)) $name"; done
    fi
    port=$((port + 8))
  done < <(services)
  [ -z "$all" ] || echo "shop-1 $ONE_PORT$all"
}

# ports_of SERVICE
ports_of() { processes | awk -v s="$1" '{ for (i = 3; i <= NF; i++) if ($i == s) print $2 }'; }

programs() { processes | cut -d' ' -f1; }

# ---- settings -----------------------------------------------------------------------------------------------------------

# What failed three times is left out for two seconds. When that is true of all of them (a rolling restart, then a crash),
# the same servers stand by as `backup` without that count: a process that lives is never passed by.
# One upstream for each service, and `any`: every process of the shop, for what all of them answer alike.
nginx_upstreams() {
  local name count prefixes port ports
  printf 'upstream any {\n  zone any 128k;\n  least_conn;\n'
  for port in $(processes | awk '$1 !~ /^provider/ { print $2 }'); do
    printf '  server 127.0.0.1:%s max_fails=1 fail_timeout=2s;\n' "$port"
  done
  printf '  keepalive 8;\n  keepalive_timeout 20s;\n}\n'
  while read -r name count prefixes; do
    ports=$(ports_of "$name")
    printf 'upstream %s {\n  zone %s 128k;\n  least_conn;\n' "$name" "$name"
    for port in $ports; do printf '  server 127.0.0.1:%s max_fails=3 fail_timeout=2s;\n' "$port"; done
    for port in $ports; do printf '  server 127.0.0.1:%s max_fails=0 backup;\n' "$port"; done
    printf '  keepalive 32;\n  keepalive_timeout 20s;\n}\n'
  done < <(services)
}

# A POST that carries an Idempotency-Key may be sent again to another instance: the key makes it the same action.
# auth's tokens keep no keys. An error_page here replaces the server's, so all are named.
nginx_keyed() {
  [ "$1" != auth ] || return 0
  printf 'error_page 400 408 411 414 494 = /malformed; error_page 413 = @too_large; error_page 502 503 504 = @unavailable; error_page 418 = @%s_keyed; if ($http_idempotency_key) { return 418; } ' "$1"
}

nginx_keyed_locations() {
  local name count prefixes
  while read -r name count prefixes; do
    printf 'location @%s_keyed { proxy_pass http://%s; proxy_next_upstream error http_502 http_503 non_idempotent; }\n' \
      "$name" "$name"
  done < <(services)
}

# The setting cors.origins as lines of a map: "http://localhost:*" stands for every port.
nginx_origins() {
  local origins
  origins=${FASTR_CORS_ORIGINS-$(luajit -e 'print(table.concat(dofile("conf/fastr.lua").cors.origins, ";"))')}
  tr ';' '\n' <<<"$origins" | sed -e '/^$/d' -e 's/[]+?(){}^$|."\\[]/\\&/g' -e 's/:\*$/(:[0-9]+)?/' -e 's/.*/"~^&$" $http_origin;/'
}

# Pages are found by a list, and what is not on it by one that says so: a process has paths that are not the public's.
# A path below them that nobody has is told by a page, too.
PAGE='gzip on; gzip_min_length 512; gzip_types text/css image/svg+xml; proxy_intercept_errors on; error_page 404 = @no_page; error_page 502 504 = @shop_away;'

# nginx_page SERVICE PATH
nginx_page() {
  printf 'location = %s { %s proxy_pass http://%s; }\n' "$2" "$PAGE" "$1"
  [ "$2" = / ] || printf 'location %s/ { %s proxy_pass http://%s; }\n' "$2" "$PAGE" "$1"
}

nginx_public() {
  local name count prefixes prefix
  while read -r name count prefixes; do
    for prefix in $prefixes; do
      [[ $prefix != /* ]] || { nginx_page "$name" "$prefix"; continue; }
      printf 'location = /api/v1/%s { %sproxy_pass http://%s; }\n' "$prefix" "$(nginx_keyed "$name")" "$name"
      printf 'location /api/v1/%s/ { %sproxy_pass http://%s; }\n' "$prefix" "$(nginx_keyed "$name")" "$name"
    done
  done < <(services)
  # Server-sent events: passed on as they come, for as long as they last.
  printf 'location ~ ^/api/v1/orders/[^/]+/events$ { proxy_pass http://order; proxy_buffering off; proxy_read_timeout 1h; }\n'
  # What no service has is answered by fastr, too: also a preflight, which NGINX's own 404 would fail.
  printf 'location /api/ { proxy_pass http://any; }\n'
  # The document is merged from all services' declarations; any process can make it, whichever is away.
  printf 'location = /openapi.json { proxy_pass http://any; gzip on; gzip_types application/json; }\n'
  printf 'location = /docs { proxy_pass http://any; }\nlocation /docs/ { proxy_pass http://any; }\n'
  printf 'location / { error_page 404 = @not_found; error_page 418 = @no_page; if ($fastr_is_page) { return 418; } return 404; }\n'
  printf 'location @no_page { rewrite ^ /no-such-page? break; proxy_method GET; proxy_set_body ""; proxy_pass http://storefront; }\n'
  nginx_keyed_locations
}

nginx_internal() {
  local name count prefixes
  while read -r name count prefixes; do
    printf 'location /internal/%s/ { %sproxy_pass http://%s; }\n' "$name" "$(nginx_keyed "$name")" "$name"
  done < <(services)
  nginx_keyed_locations
  nginx_public | sed -n '/^location.* \/api\//p'
}

render_nginx() {
  local NGINX_USER=""
  [ "$(id -u)" != 0 ] || NGINX_USER="user www-data;"
  render conf/nginx/nginx.conf "$VAR/conf/nginx.conf"
  nginx_origins >"$VAR/conf/nginx-origins.conf"
  nginx_upstreams >"$VAR/conf/nginx-upstreams.conf"
  nginx_public >"$VAR/conf/nginx-public.conf"
  nginx_internal >"$VAR/conf/nginx-internal.conf"
}

render_all() {
  render_servers
  render conf/redis/redis.conf "$VAR/conf/redis.conf"
  render conf/kafka/broker.properties "$VAR/conf/kafka.properties"
  render_nginx
  render_supervisor
  write_environment
}

service_programs() {
  local program port names
  program nginx QUIT "$ROOT" "$ROOT/bin/lib/serve-nginx -e stderr -p $DATA/nginx -c $VAR/conf/nginx.conf" \
    "environment=FASTR_VAR=\"$VAR\""
  while read -r program port names; do
    program "$program" TERM "$ROOT" "$ROOT/bin/fastr serve $names" \
      "environment=FASTR_VAR=\"$VAR\",FASTR_BUILD=\"$FASTR_BUILD\",FASTR_NAME=\"$program\",FASTR_LISTEN=\"127.0.0.1:$port\""
  done < <(processes)
}

# What fastr's processes are told about this instance (bin/fastr reads it), and what people are told (var/shop.env).
write_environment() {
  local password name count prefixes port
  password=$(secret postgres)
  secret provider_key >/dev/null     # what payment shows the test provider
  secret provider_webhook >/dev/null # what the provider signs its webhooks with
  {
    cat <<ENV
FASTR_PG_PRIMARY=hostaddr=127.0.0.1,127.0.0.1,127.0.0.1 port=$PG_PRIMARY_PORT,$PG_R1_PORT,$PG_R2_PORT dbname=shop
FASTR_PG_REPLICAS=hostaddr=127.0.0.1 port=$PG_R1_PORT dbname=shop;hostaddr=127.0.0.1 port=$PG_R2_PORT dbname=shop
FASTR_PG_PASSFILE=$VAR/secrets/pgpass
FASTR_REDIS_ADDRESS=127.0.0.1:$REDIS_PORT
FASTR_KAFKA_BROKERS=127.0.0.1:$KAFKA_PORT
FASTR_SMTP_URL=smtp://127.0.0.1:$SMTP_PORT
FASTR_PUBLIC_URL=http://127.0.0.1:$HTTP_PORT
FASTR_PROVIDER_WEBHOOK_URL=http://127.0.0.1:$HTTP_PORT/api/v1/webhooks/test
FASTR_ADMIN_EMAIL=admin@shop.example
FASTR_RULES_AGENT=true
ENV
    while read -r name count prefixes; do
      port=$INTERNAL_PORT
      [ "$name" != provider ] || port=$(ports_of provider)
      printf 'FASTR_SERVICES_%s=http://127.0.0.1:%s\n' "${name^^}" "$port"
    done < <(services)
  } >"$VAR/fastr.env"
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

# ---- starting -------------------------------------------------------------------------------------------------------------

start_programs() { /usr/bin/python3 conf/supervisor/start.py "$@"; }

service_ready() { curl -fsS -m 3 -o /dev/null "http://127.0.0.1:$1/readyz"; }

# wait_ready PROGRAM...: each until it says that it is ready. What fails to come up shows its own last words.
wait_ready() {
  local program port names
  while read -r program port names; do
    [[ " $* " == *" $program "* ]] || continue
    wait_for 60 "$program (port $port) to be ready" service_ready "$port" || {
      curl -sS -m 3 "http://127.0.0.1:$port/readyz" || true
      STEP_LOG=$VAR/log/$program.log
      return 1
    }
  done < <(processes)
}

# What a process is made of beside its scripts: var/run/build-NAME says what it was when it was started.
build_hash() { cat "$FASTR_BUILD/fastr" conf/fastr.lua "$VAR/fastr.env" | sha256sum | cut -c1-16; }

STARTED="" # in this run: these have read the scripts as they are

is_old() { [ "$(cat "$VAR/run/build-$1" 2>/dev/null)" != "$(build_hash)" ]; }

note_build() {
  local program
  for program in "$@"; do build_hash >"$VAR/run/build-$program"; done
  STARTED="$STARTED $*"
}

# All that do not run, at once. What runs as it was before is not waited for: it may be what is to be mended, and is
# renewed next.
start_services() {
  local running idle
  running=$(supervisor status | awk '$2 == "RUNNING" || $2 == "STARTING" { print $1 }') || true
  idle=$(programs | grep -vxF "$running") || true
  # shellcheck disable=SC2086
  [ -z "$idle" ] || { start_programs "$SOCKET" $idle; note_build $idle; }
  # shellcheck disable=SC2046
  wait_ready $(programs | grep -vxF "$(old_programs)")
}

old_programs() {
  local program
  for program in $(programs); do ! is_old "$program" || echo "$program"; done
}

# A new binary or new settings since they started: the first instance of every service at once, then the second ...: so
# that the others go on serving.
renew_services() {
  local i wave
  for i in $(seq 8); do
    wave=$(old_programs | grep -- "-$i\$") || continue
    # shellcheck disable=SC2086
    start_programs --again "$SOCKET" $wave && note_build $wave && wait_ready $wave
  done
}

scripts_hash() { find scripts -path scripts/rules -prune -o -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -c1-16; }

# Edited scripts become live, in all workers of a process or in none. Rules, too, if they never were: a pack that was live
# once and is not any more was rolled back by somebody.
reload_edits() {
  local scripts pack
  scripts=$(scripts_hash)
  if [ "$(cat "$VAR/run/scripts" 2>/dev/null)" != "$scripts" ]; then
    [ "$(wc -w <<<"$STARTED")" = "$(process_count)" ] || bin/fastr reload scripts
    echo "$scripts" >"$VAR/run/scripts"
  fi
  pack=$(rules_on_disk)
  compgen -G "$VAR/packs/$pack*" | grep -Eq '/[0-9a-f]{64}$' || bin/fastr reload rules
}

rules_on_disk() { bin/fastr check | awk '$1 == "rules" { print $NF }'; }

# What the gate says of the rules is told by `fastr rules status`; red, they keep no shop from being up.
check_rules() {
  compgen -G "$VAR/packs/$(rules_on_disk)*.report.json" >/dev/null || bin/fastr rules check || true
}

nginx_has() { [ "$(curl -sS -m 3 "http://127.0.0.1:$INTERNAL_PORT/settings")" = "$1" ]; }

# NGINX takes new settings in without losing a connection; the old ones, which may name processes that are gone, can
# still answer for a moment, so this waits until the new ones do.
start_nginx() {
  local settings
  settings=$(cat "$VAR"/conf/nginx*.conf conf/nginx/problems.conf | sha256sum | cut -c1-16)
  printf 'location = /settings { return 200 %s; }\n' "$settings" >>"$VAR/conf/nginx-internal.conf"
  nginx -t -q -e stderr -p "$DATA/nginx" -c "$VAR/conf/nginx.conf"
  if running nginx; then
    nginx_has "$settings" || supervisor signal HUP nginx
  else
    start nginx
  fi
  wait_for 30 "NGINX" nginx_has "$settings"
}

# What is signed here may become live here; to demand it, set rules.signed.
make_rules_key() {
  [ -s "$VAR/secrets/rules_key" ] || bin/fastr rules key new "development@$(hostname)" | bin/fastr rules key trust -
}

# The retailer's products, prices and stock; once there, staff's changes are kept.
load_catalogue() {
  luajit data/catalogue.lua | PGPASSFILE=$VAR/secrets/pgpass psql -X -q -At -v ON_ERROR_STOP=1 -h 127.0.0.1 \
    -p "$PG_PRIMARY_PORT" -U product_owner -d shop -f data/catalogue.sql
}

process_count() { processes | wc -l; }

start_shop() {
  # By name: a service without tables of its own still has those of the platform (outbox, inbox, keys).
  # shellcheck disable=SC2046
  step migrate "the services' schemas" bin/fastr migrate $(services | awk '{ print $1 }')
  step load "the catalogue: 3,243 products with categories and stock" load_catalogue
  step key "with which packs of rules are signed, trusted here" make_rules_key
  step start "$(process_count) processes of fastr, topology $FASTR_TOPOLOGY" start_services
  [ -z "$(old_programs)" ] || step renew "$(old_programs | wc -l) processes, an instance of each service at a time" renew_services
  step start "NGINX (http://127.0.0.1:$HTTP_PORT)" start_nginx
  step reload "scripts and rules that were edited" reload_edits
  step check "the rules: fastr rules status says how they did" check_rules
}

# Once in the life of an instance: the real invoices are placed as orders, so that the first saved rule has a past. Broken
# off, it goes on where it stopped.
place_past() {
  [ ! -e "$VAR/past-placed" ] || return 0
  say "  past        placing the retailer's 512 invoices as orders, about a minute"
  bin/replay-orders data/retail-orders.csv --resume "$VAR/past-begun" ||
    die "the past is not whole, as said above; the shop itself is up, and bin/up again places what is missing"
  mv "$VAR/past-begun" "$VAR/past-placed"
}
