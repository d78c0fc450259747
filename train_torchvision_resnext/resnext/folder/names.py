"""What the files of a model folder are called."""

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
CLASSES = "classes.txt"
GOLDEN = "golden.safetensors"

INT8_FOLDER = "openvino"
INT8_GRAPH, INT8_REPORT = f"{INT8_FOLDER}/int8.xml", f"{INT8_FOLDER}/int8.json"
INT8_FILES = (INT8_REPORT, INT8_GRAPH, f"{INT8_FOLDER}/int8.bin")
"""There where the folder was quantized; see `quantization.py`."""
