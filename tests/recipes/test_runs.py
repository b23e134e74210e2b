from pathlib import Path

import pytest

from fewview.errors import InputError
from fewview.nn.autoencoder import AutoencoderConfig
from fewview.recipes.runs import describe, fast_bfloat16
from fewview.training import TrainConfig

CPU = Path("/proc/cpuinfo")


@pytest.mark.skipif(not CPU.exists(), reason="the flags of the processor are read from Linux")
def test_bfloat16_is_fast_where_the_processor_has_its_instructions():
    """AVX-512 alone is not enough, though oneDNN says that it supports bfloat16 there."""
    flags = set(CPU.read_text().split())
    assert fast_bfloat16() == bool(flags & {"avx512_bf16", "amx_tile"})


def test_a_run_folder_belongs_to_one_model(tmp_path):
    training = TrainConfig(steps=1)
    describe(tmp_path, "sparsefusion/autoencoder", "tiny", model=AutoencoderConfig(blocks=1), training=training)
    describe(
        tmp_path, "sparsefusion/autoencoder", "tiny", model=AutoencoderConfig(blocks=1), training=TrainConfig(steps=9)
    )
    with pytest.raises(InputError, match="belongs to another model"):
        describe(tmp_path, "sparsefusion/autoencoder", "tiny", model=AutoencoderConfig(blocks=2), training=training)
