"""End with a sentence where there is no GPU that PyTorch can use. Needs nothing installed to say that there is none."""

import sys
from importlib.util import find_spec

from infer_torchvision_resnext.resnext.machine.devices import gpu_is_there, why_no_gpu


def main() -> int:
    why = "" if gpu_is_there() else "no driver shows one"
    if not why and find_spec("torch"):
        import torch

        why = "" if torch.cuda.is_available() else why_no_gpu()
    if why:
        print(f"This needs a GPU that PyTorch can use, and there is none here: {why}.", file=sys.stderr)
    return 1 if why else 0


if __name__ == "__main__":
    sys.exit(main())
