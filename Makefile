# Ringkeeper. `make help` lists what there is; the work is done in make/*.sh.

# Settings, given as `make N=5 HASH=sha256`. An empty one leaves the balancer's default.
DEPLOYMENT ?= ringkeeper
BIND       ?= 127.0.0.1
PORT       ?= 5000
ADMIN_PORT ?= 5001
N          ?=
PRESET     ?=
HASH       ?=
# The token of the control API; needed where BIND is no loopback address.
ADMIN_TOKEN ?=
# Arguments of `ringtest bench`, such as '--rounds 1 --time 1s --workload get-64'.
BENCH      ?=
# Arguments of `ringtest policies`, such as '--rounds 1 --policy ring,bounded-ring', and of `ringtest changes`.
POLICIES   ?=
CHANGES    ?=
# 1 takes over the replicas of a balancer whose state (a volume) is lost.
ADOPT      ?=
# The one fault of `make chaos`; all of them where it is empty.
FAULT      ?=
# The tag of the images; the tests have one of their own.
IMAGE_TAG  ?= latest

# The same names in docker-compose.yml and in the balancer's environment.
settings = DEPLOYMENT='$(DEPLOYMENT)' BIND='$(BIND)' PORT='$(PORT)' ADMIN_PORT='$(ADMIN_PORT)' \
  IMAGE_TAG='$(IMAGE_TAG)' RINGKEEPER_IMAGE='ringkeeper-server:$(IMAGE_TAG)' \
  RINGKEEPER_REPLICAS='$(N)' RINGKEEPER_PRESET='$(PRESET)' RINGKEEPER_HASH='$(HASH)' \
  RINGKEEPER_ADMIN_TOKEN='$(ADMIN_TOKEN)' RINGKEEPER_ADOPT='$(ADOPT)'

# Where a client on this machine reaches the balancer.
HERE = $(patsubst 0.0.0.0,127.0.0.1,$(BIND))

.DEFAULT_GOAL := up
.PHONY: up stop logs client tester plots chaos bench policies changes build examples images test test-long clean help

up: ## build what changed, start, wait until every replica is ready (the default)
	@$(settings) make/engine.sh up

stop: ## stop and remove the balancer, its replicas, network and state
	@$(settings) make/engine.sh stop

logs: ## follow the balancer's log
	@$(settings) make/engine.sh logs

client: ## a shell to talk to the balancer in
	@make/binaries.sh tools
	@RINGCTL_TOKEN='$(ADMIN_TOKEN)' dist/ringctl --url 'http://$(HERE):$(PORT)' --admin-url 'http://$(HERE):$(ADMIN_PORT)'

tester: ## 10,000 requests to the balancer, and what became of them, with a chart
	@make/binaries.sh tools
	@RINGCTL_TOKEN='$(ADMIN_TOKEN)' dist/ringtest run --url 'http://$(HERE):$(PORT)' --admin-url 'http://$(HERE):$(ADMIN_PORT)'

plots: ## the charts of the README: balancers of its own are started, loaded and removed
	@make/plots.sh

chaos: ## what clients see while replicas die, freeze, misbehave, leave and join, beside HAProxy (FAULT=kill: that only)
	@make/chaos.sh $(if $(FAULT),--fault '$(FAULT)' --no-files)

bench: ## the balancer beside HAProxy, nginx and a bare relay: processor time, rates, latencies, memory (half an hour)
	@make/bench.sh $(BENCH)

policies: ## every policy beside HAProxy's and nginx's: how uneven what is in flight becomes, and latencies (a quarter of an hour)
	@make/policies.sh $(POLICIES)

changes: ## what requests notice of a hundred replicas of which ten a second get another weight
	@make/changes.sh $(CHANGES)

build: ## the two binaries, in dist/
	@make/binaries.sh

examples: ## the program of the examples' services, in dist/, and where an engine answers its image, ringkeeper-example
	@make/examples.sh '$(IMAGE_TAG)'

images: ## the two images, ringkeeper and ringkeeper-server
	@make/images.sh '$(IMAGE_TAG)'

test: ## format, lints, binaries, images, all tests (the Docker suite too, where an engine answers)
	@make/test.sh

test-long: test ## the same, five times the simulation, the control API by its document (python3, PyPI), minutes of outages and kills in Docker, images built without Rust on the host
	@make/test-long.sh

clean: ## remove what was built (not the images, not a running deployment)
	@cargo clean
	@rm -rf dist

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile
	@echo
	@echo "  Settings: N=3 PRESET=assignment HASH=quadratic|prime|sha256|xxh3"
	@echo "            PORT=5000 ADMIN_PORT=5001 BIND=127.0.0.1 DEPLOYMENT=ringkeeper"
	@echo "            ADOPT=1 (takes over the replicas whose balancer's state is lost; for 'make' and 'make stop')"
	@echo "            ADMIN_TOKEN=… (BIND=0.0.0.0 needs one; 'make client' and 'make tester' bring it along)"
	@echo "            FAULT=kill|kill-each|kill-two|pause|stop-signal|errors|deaf|docker-stop|docker-rm|churn|crash-loop|cut-off"
	@echo "            (for 'make chaos'; all of them take ten minutes, and leave chaos.csv and chaos.json in plots/)"
	@echo "  A DEPLOYMENT given to 'make' has to be given to 'make stop' and 'make logs' too."
