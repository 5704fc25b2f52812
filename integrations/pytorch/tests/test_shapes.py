"""Results as they are known before an operator has run: their types, and operators that torch has no meta kernel of."""

import copy
import warnings

import pytest
import torch

from support import DEVICE, only_millrace


def test_the_type_of_a_result_follows_the_default_type():
    whole = torch.arange(3, device=DEVICE)
    for default in (torch.float32, torch.float64, torch.float32):
        torch.set_default_dtype(default)
        try:
            assert torch.angle(whole).dtype == torch.angle(torch.arange(3)).dtype == default
        finally:
            torch.set_default_dtype(torch.float32)


@only_millrace
def test_an_encoder_stays_with_strided_tensors_where_it_has_a_mask_of_padding():
    layer = torch.nn.TransformerEncoderLayer(16, 4, dim_feedforward=32, dropout=0.0, batch_first=True)
    encoder = torch.nn.TransformerEncoder(layer, 2).eval()
    inputs, padding = torch.rand(2, 5, 16), torch.zeros(2, 5, dtype=torch.bool)
    padding[0, 3:] = True
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nested tensors are new, the CPU's warns
        expected = encoder(inputs, src_key_padding_mask=padding)
        actual = copy.deepcopy(encoder).to(DEVICE)(inputs.to(DEVICE), src_key_padding_mask=padding.to(DEVICE))
        torch.testing.assert_close(actual.cpu()[~padding], expected[~padding])
        with pytest.raises(RuntimeError, match="width 16"):
            copy.deepcopy(layer).eval().to(DEVICE)(torch.rand(2, 5, 12).to(DEVICE))
