all check bench install:
	@scripts/build $@
.PHONY: all check bench install
