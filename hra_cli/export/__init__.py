"""A recogniser with its heads as ONNX files that sherpa-onnx runs."""
