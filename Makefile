# The same as the scripts, for those who type make.
.PHONY: all demo test bench fuzz clean
all:
	cargo build --release --locked
demo:
	script/demo
test:
	script/test
bench:
	script/bench
fuzz:
	script/fuzz --seconds 60
clean:
	cargo clean
