# Prints the manual: the Makefile's groups (##@) and targets with their sentence (##), 100 columns wide.
function wrap(label, text,    words, count, i, line) {
  count = split(text, words, " ")
  line = sprintf("  %-22s", label)
  for (i = 1; i <= count; i++) {
    if (length(line) + length(words[i]) + 1 > 100) { print line; line = sprintf("  %-22s", "") }
    line = line " " words[i]
  }
  print line
}
BEGIN {
  print "Hybrid Inference: small models on your own GPUs, the rest to an external API."
  print "Times are for 2 cores; the first time includes building Kubernetes, which is then cached."
}
/^##@ / { print "\n" substr($0, 5) }
/^[a-z][a-z0-9-]*:.*## / {
  target = substr($0, 1, index($0, ":") - 1)
  text = $0; sub(/^.*## /, "", text)
  if (target != "help") wrap("make " target, text)
}
END {
  print "\nEnvironment"
  wrap("KUBECONFIG", "Use this cluster instead of starting one; it is never taken down.")
  wrap("HINF_CLUSTER", "Name of the cluster that is started (hinf), to have several side by side.")
  wrap("HINF_CACHE", "Where built programs and downloads are kept (~/.cache/hybrid-inference).")
  wrap("OPENAI_API_KEY", "The demo asks the real API instead of a second vLLM.")
  wrap("PYTEST_ADDOPTS", "Options for pytest, for example \"-k router -x\".")
  print "\nmake check shows what a reviewer would; CONTRIBUTING.md says how to contribute."
}
