#!/bin/bash
# A stand-in with the names and places of the real one: each function records its call, and leaves what that leaves.
set -uex

source ./common.sh
source ./envs/small

if [[ -v DIRTY && ! -v FORCE ]]; then
  echo "run.sh: runs already, or was not stopped"
  exit 1
fi
export DIRTY=true

DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CIRCUIT_FILES=$DIR/circuits/testdata/Block_${NTXS}_${BALANCELEVELS}_${ORDERLEVELS}_${ACCOUNTLEVELS}
ROLLUP_DB=postgres://rollup@127.0.0.1:@ROLLUP_DB_PORT@/rollup
TODAY=$(date +%F)
[[ -v ENVSUB ]] || ENVSUB=envsub

# Appends one JSON line, waits while the test says so, and fails once where it says so.
function enter() {
  { set +x; } 2> /dev/null
  local name variables="" function=${FUNCNAME[1]}
  for name in AS_RESOURCE CI DX_CLEAN FORCE VERBOSE_GANACHE NO_LOCAL_WORKER COORDINATOR_LISTENADDR CONTRACT_ADDR NTXS BALANCELEVELS ORDERLEVELS ACCOUNTLEVELS; do
    if [[ -v $name ]]; then variables+="${variables:+, }\"$name\": \"${!name}\""; fi
  done
  printf '{"function": "%s", "cwd": "%s", "env": {%s}}\n' "$function" "$PWD" "$variables" >> @PLAY@/record
  while [[ -e @PLAY@/$function.hold ]]; do sleep 0.05; done
  if rm @PLAY@/"$function".fail 2> /dev/null; then
    echo "$function: the network is unreachable"
    exit 1
  fi
  set -x
}

# Does what nohup and & do in the original.
function leave() {
  local log=$1
  shift
  nohup "$@" >> "$log.$TODAY.log" 2>&1 &
}

function handle_submodule() {
  enter
  git submodule update --init --recursive
  if [[ ! -v CI ]]; then git pull --recurse-submodules; fi
}

function prepare_circuit() {
  enter
  rm -rf "$CIRCUIT_FILES"
  sleep 1
  mkdir -p "$CIRCUIT_FILES"
  cd "$DIR/circuits"
  npm i
  snarkit2 compile "$CIRCUIT_FILES"
  plonkit setup "$CIRCUIT_FILES"
  plonkit export-verification-key "$CIRCUIT_FILES"
}

function prepare_contracts() {
  enter
  rm -f "$DIR/contracts/contracts/Verifier.sol"
  plonkit generate-verifier "$CIRCUIT_FILES" "$DIR/contracts/contracts/Verifier.sol"
  cd "$DIR/contracts"
  yarn install
  npx hardhat compile
}

function setup() {
  handle_submodule
  prepare_circuit
  prepare_contracts
}

function config_prover_cluster() {
  enter
  cd "$DIR/prover-cluster/config"
  export TARGET_CIRCUIT_DIR=$CIRCUIT_FILES N_TXS=$NTXS DB=$ROLLUP_DB PORT=@COORDINATOR_PORT@
  for name in coordinator client; do
    $ENVSUB < $name.yaml.template > $name.yaml
  done
}

function start_docker_compose() {
  docker-compose --file "$1/docker/docker-compose.yaml" --project-name "$2" up --force-recreate --detach
}

function run_core_docker_compose() {
  enter
  start_docker_compose "$DIR/orchestra" orchestra
  start_docker_compose "$DIR/regnbue-bridge" faucet
}

function run_matchengine() {
  enter
  cd "$DIR/dingir-exchange"
  make startall
}

function run_prove_master() {
  enter
  cd "$DIR/prover-cluster"
  cargo build --release
  leave coordinator "$PWD/target/release/coordinator"
}

function run_prove_workers() {
  enter
  cd "$DIR/prover-cluster"
  if [[ -v NO_LOCAL_WORKER ]]; then return; fi
  leave client "$PWD/target/release/client"
  sleep 1
  cpulimit -P "$PWD/target/release/client" -l 50 -b -z
}

function run_rollup() {
  enter
  cd "$DIR/rollup-state-manager"
  mkdir -p circuits/testdata/persist
  touch circuits/testdata/persist/state
  cargo build --release --bin rollup_state_manager
  leave rollup_state_manager "$PWD/target/release/rollup_state_manager"
}

function run_eth_node() {
  enter
  cd "$DIR/contracts"
  yarn install
  mkdir -p ganache
  touch ganache/chain
  leave ganache npx ganache-cli --networkId 53371 --db "$PWD/ganache"
}

function deploy_contracts() {
  enter
  cd "$DIR/contracts"
  GENESIS_ROOT=$(awk '/genesis root/ {root = $9} END {print root}' "$DIR/rollup-state-manager/rollup_state_manager.$TODAY.log")
  [[ $GENESIS_ROOT == "Fr("* ]]
  export CONTRACT_ADDR=$(npx hardhat run deploy | sed -n 's/.*deployed to: //p')
  echo "export CONTRACT_ADDR=$CONTRACT_ADDR" > contract-deployed.env
}

function restore_contracts() {
  enter
  source "$DIR/contracts/contract-deployed.env"
}

function run_faucet() {
  enter
  cd "$DIR/regnbue-bridge"
  cargo build --release --bin faucet
  leave faucet "$PWD/target/release/faucet"
}

function run_block_submitter() {
  enter
  cd "$DIR/regnbue-bridge"
  cargo build --release --bin block_submitter
  DB=$ROLLUP_DB CONTRACT_ADDR=$CONTRACT_ADDR $ENVSUB < config/block_submitter.yaml.template > config/block_submitter.yaml
  leave block_submitter "$PWD/target/release/block_submitter"
}

function run_bin() {
  run_matchengine
  run_prove_master
  run_prove_workers
  run_rollup
  sleep 10
  run_eth_node
  if [[ $DX_CLEAN == TRUE ]]; then deploy_contracts; else restore_contracts; fi
  run_faucet
  run_block_submitter
}

function run_ticker() {
  enter
  cd "$DIR/dingir-exchange/examples/js"
  npm i
  leave ../../tick npx ts-node tick.ts
}

if [[ ! -v AS_RESOURCE ]]; then
  setup
  config_prover_cluster
  run_core_docker_compose
  run_bin
  run_ticker
  start_docker_compose "$DIR/blockscout" blockscout
fi
