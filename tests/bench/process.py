"""Measures a function in this process: median time, time from the process' start to the first run, peak memory."""
import os
import statistics
import time


def since_start():
    """Seconds since this process was started, to the system's clock tick of 10 ms."""
    with open("/proc/self/stat") as f:
        ticks = int(f.read().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def peak_memory_mib():
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM:")) / 1024


def measure(run, warm_up, steps):
    run()
    first_done = since_start()
    for _ in range(warm_up - 1):
        run()
    times = []
    for _ in range(steps):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return dict(median_ms=statistics.median(times) * 1e3, best_ms=min(times) * 1e3, first_done_s=first_done,
                peak_memory_mib=peak_memory_mib())
