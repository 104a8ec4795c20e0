#!/usr/bin/env bash
# Tool: kustomize 5.8.1, on two NetworkPolicies and a CiliumNetworkPolicy, with one label added by `labels` or `commonLabels`.
# Expected: `includeSelectors` adds the label to the selectors of the workloads' own objects, so that they match the pods which got it; who may
#   come in, and where the pods may go, stays as written.
# Happens: it is added to the peers of a NetworkPolicy too: "from Prometheus in the namespace monitoring" becomes "from pods that are
#   Prometheus and have our label", and the same for the DNS of kube-system. An empty selector ("all pods", as of a default deny) gets no label, nor
#   does a selector of a CiliumNetworkPolicy. `commonLabels` does the same; `labels` without `includeSelectors` leaves all selectors alone.
# Hurts: a policy that was reviewed as written is another one in the cluster. Recorders lose DNS, monitoring and backup, as those pods never have
#   the label, and the first thing that is tried in the outage is to remove the policies. Peers that do have it hide the change in tests.
# Instead: keep NetworkPolicies out of an overlay with `commonLabels` or `includeSelectors`, or use `labels` without it; review the output
#   of `kustomize build`, not its input.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

GOBIN="$work/bin" go install sigs.k8s.io/kustomize/kustomize/v5@v5.8.1 2>go.log || { cat go.log >&2; exit 1; }
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check PyYAML==6.0.3
echo "kustomize $(go version -m bin/kustomize | sed -n 's/^\tmod\t[^\t]*\t\(v[0-9.]*\).*/\1/p')"
mkdir base
cat > base/policies.yaml <<'YAML'
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: nobody
spec:
  podSelector: {}
  policyTypes: [Ingress, Egress]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: recorder
spec:
  podSelector:
    matchLabels: {app: recorder}
  policyTypes: [Ingress, Egress]
  ingress:
  - from:
    - namespaceSelector:
        matchLabels: {kubernetes.io/metadata.name: monitoring}
      podSelector:
        matchLabels: {app: prometheus}
  egress:
  - to:
    - namespaceSelector:
        matchLabels: {kubernetes.io/metadata.name: kube-system}
      podSelector:
        matchLabels: {k8s-app: kube-dns}
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata:
  name: archive
spec:
  endpointSelector:
    matchLabels: {app: archive}
  ingress:
  - fromEndpoints:
    - matchLabels: {app: recorder}
YAML
echo 'resources: [policies.yaml]' >base/kustomization.yaml
overlay() {
    mkdir "$1"
    cat - <(echo 'resources: [../base]') >"$1/kustomization.yaml"
}
overlay include <<<'labels: [{pairs: {team: desk}, includeSelectors: true}]'
overlay common <<<'commonLabels: {team: desk}'
overlay plain <<<'labels: [{pairs: {team: desk}}]'
cat > show.py <<'PY'
import sys, yaml
specs = {one["metadata"]["name"]: one["spec"] for one in yaml.safe_load_all(sys.stdin)}
recorder, archive = specs["recorder"], specs["archive"]
text = lambda selector: " ".join(f"{k}={v}" for k, v in sorted(selector.get("matchLabels", {}).items())) or "all"
print("  nobody: pods", text(specs["nobody"]["podSelector"]))
print("  recorder: pods", text(recorder["podSelector"]), "| from", text(recorder["ingress"][0]["from"][0]["podSelector"]), "| to", text(recorder["egress"][0]["to"][0]["podSelector"]))
print("  archive (Cilium): pods", text(archive["endpointSelector"]), "| from", text(archive["ingress"][0]["fromEndpoints"][0]))
PY
seen=$(for name in include common plain; do echo "$name"; bin/kustomize build "$name" 2>/dev/null | venv/bin/python show.py; done)
echo "$seen"
labelled="  nobody: pods all
  recorder: pods app=recorder team=desk | from app=prometheus team=desk | to k8s-app=kube-dns team=desk
  archive (Cilium): pods app=archive | from app=recorder"
[ "$seen" = "include
$labelled
common
$labelled
plain
${labelled// team=desk/}" ] || changed "other selectors have the label"
echo "as described"
