# Two commands, each complete by itself on a fresh Debian 12 or 13 (the packages it lacks are installed through apt-get):
#   make demo   builds lvt and lets a small vision transformer learn ten kinds of digits, two at a time
#   make test   builds everything and runs all tests
# Everything else is CMake: see CMakePresets.json.

BUILD := build/release

demo: programs
	$(BUILD)/lvtc models/lvt-tiny.lvt -o $(BUILD)/lvt-tiny.lvtx
	rm -rf $(BUILD)/demo
	$(BUILD)/lvt-run train $(BUILD)/lvt-tiny.lvtx --data digits --tasks 5 --memory 200 --epochs 10 --seed 1 --out $(BUILD)/demo
	@echo "The programs are in $(BUILD); to type their names: export PATH=$(CURDIR)/$(BUILD):\$$PATH"

test: configure
	cmake --build --preset release
	ctest --preset release

programs: configure
	cmake --build --preset release --target programs

configure:
	@bash .ci/setup
	cmake --preset release

clean:
	rm -rf build

.PHONY: demo test programs configure clean
