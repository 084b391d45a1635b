"""tmp"""
from torch.utils.flop_counter import FlopCounterMode
from esm2_amp.screening.scorer import of_block
def flops_per_pair(scorer, a, b):
    import torch
    with torch.inference_mode():
        pa,pb=scorer.prepare(a),scorer.prepare(b)
        with FlopCounterMode(display=False) as c: of_block(scorer,pa,pb)
    return c.get_total_flops()/(len(a)*len(b))
