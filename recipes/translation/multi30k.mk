# The best model for Multi30k, see README.md, "More pairs from the same text": `make multi30k`. What is done stays done,
# and a training that was interrupted is taken up again.

SEED ?= 0
RUN ?= runs/multi30k-diverse$(if $(filter-out 0,$(SEED)),-$(SEED))
# where the training part is once `--config multi30k` has fetched it
TEXT ?= $(or $(KERAS_TRANSFORMER_CACHE),$(HOME)/.cache/keras-transformer)/multi30k/tok/train.lc.norm.tok

TOOL := .venv/bin/keras-transformer
QUICK := --config multi30k --training.batch_tokens 2560 --training.steps 6500
DONE := evaluations/test.json

forward := runs/multi30k-forward
backward := runs/multi30k-backward
resumed = $(if $(wildcard $(1)/config.yaml),--resume)

.DELETE_ON_ERROR:
.PHONY: all
all: $(RUN)/ended
	$(TOOL) evaluate $(RUN) --beam 5 --length-penalty 1.0 --max-ratio 1.5

$(forward)/$(DONE):
	$(TOOL) train translation $(QUICK) --run $(forward) $(call resumed,$(forward))

$(backward)/$(DONE):
	$(TOOL) train translation $(QUICK) --languages de-en --run $(backward) $(call resumed,$(backward))

$(forward)/made.de: | $(forward)/$(DONE)
	$(TOOL) predict $(forward) < $(TEXT).en > $@

$(backward)/made.en: | $(backward)/$(DONE)
	$(TOOL) predict $(backward) < $(TEXT).de > $@

# on all pairs
$(RUN)/$(DONE): | $(forward)/made.de $(backward)/made.en
	$(TOOL) train translation --config multi30k-diverse --run $(RUN) --training.seed $(SEED) \
	  --train_only $(TEXT).en,$(forward)/made.de $(backward)/made.en,$(TEXT).de $(call resumed,$(RUN))

# on those that people wrote
$(RUN)/ended: | $(RUN)/$(DONE)
	$(TOOL) train translation --config $(RUN)/config.yaml --resume --training.steps 10500 --train_only_steps 9000
	touch $@
