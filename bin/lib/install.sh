# install.sh: the Debian packages that fastr needs. Sourced after stack.sh.

BUILD_PACKAGES="gcc libc6-dev cmake ninja-build pkg-config libluajit-5.1-dev libevent-dev libpq-dev libhiredis-dev
  librdkafka-dev libcjson-dev libssl-dev libcurl4-openssl-dev"
RUN_PACKAGES="ca-certificates curl procps luajit postgresql-15 postgresql-client-15 redis-server nginx supervisor python3
  python3-aiosmtpd python3-confluent-kafka openjdk-17-jre-headless maven lua-busted jq kcat"
TEST_PACKAGES="libcmocka-dev lua-check clang libclang-rt-14-dev python3-venv"

# missing PACKAGE...: prints those that are not installed.
missing() {
  local package
  for package in "$@"; do
    dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || echo "$package"
  done
}

# install PACKAGE...: as root, or through sudo.
install_packages() {
  local wanted
  wanted=$(missing "$@")
  [ -n "$wanted" ] || return 0
  if [ "$(id -u)" = 0 ]; then
    # shellcheck disable=SC2086
    "$ROOT/bin/lib/apt-install" $wanted
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    sudo -n "$ROOT/bin/lib/apt-install" $wanted
  elif command -v sudo >/dev/null && [ -e /dev/tty ] && sudo -v </dev/tty; then
    sudo "$ROOT/bin/lib/apt-install" $wanted
  else
    STEP_LOG=""
    die "these packages are missing, and installing them needs root: run   apt-get install --no-install-recommends $(echo $wanted)"
  fi
}

# Shows the step only with what there is to do.
install_step() {
  local wanted
  # shellcheck disable=SC2046
  wanted=$(missing "$@")
  if [ -z "$wanted" ]; then
    step install "nothing is missing" true
  else
    say "  install     $(echo $wanted)"
    step install "$(echo "$wanted" | wc -l) Debian packages" install_packages "$@"
  fi
}

build_fastr() {
  cmake -S . -B "$FASTR_BUILD" -G Ninja
  ninja -C "$FASTR_BUILD" -j "$(nproc)" fastr
}

# The broker's jars, from Maven Central at pinned versions (conf/kafka/pom.xml); shared by all stacks of this checkout.
KAFKA_LIBS=$ROOT/build/kafka

kafka_fetched() { cmp -s conf/kafka/pom.xml "$KAFKA_LIBS/pom.xml"; }

fetch_kafka() {
  kafka_fetched && return
  rm -rf "$KAFKA_LIBS"
  mkdir -p "$KAFKA_LIBS"
  retry 4 timeout 300 mvn -B -ntp -f conf/kafka/pom.xml dependency:copy-dependencies -DincludeScope=runtime \
    -DoutputDirectory="$KAFKA_LIBS"
  cp conf/kafka/pom.xml "$KAFKA_LIBS/pom.xml"
}
