# SPDX-License-Identifier: BSD-3-Clause
import lstmfast as lf


def pytest_benchmark_update_machine_info(config, machine_info):
    machine_info["lstmfast"] = {"version": lf.__version__, "isa": lf.isa(), "threads": lf.get_num_threads()}
