//! Subrosa on a node as its users have it: installed by the charts, running from its image.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::batch::v1::Job;
use kube::Api;
use serde_json::json;

use super::{
    Node, network,
    vault::{self, ADDRESS},
};
use crate::{
    helm::{Helm, chart},
    installation::{OPENBAO_CA, retention_policy, trust_domain},
    openbao::OpenBao,
    wait,
};

/// Where the release is.
pub const NAMESPACE: &str = "subrosa-system";
const SETUP: &str = "vault-setup";
const LIMIT: Duration = Duration::from_secs(60);

/// Subrosa and OpenBao, both running as pods.
pub struct Release {
    /// OpenBao, with its root token.
    pub openbao: OpenBao,
    /// Helm, for what else is to be done with the release.
    pub helm: Helm,
    /// The trust domain.
    pub domain: String,
}

impl Node {
    /// Starts OpenBao, sets it up with `subrosa vault-setup`, installs both charts, and applies a TrustDomain and a
    /// RetentionPolicy. `values` are more values for the chart `subrosa`, such as `replicaCount=1`.
    ///
    /// The order is an administrator's: the operator is only told where OpenBao is once it may log in there.
    ///
    /// # Errors
    /// When something does not come up; the error says how the pods are.
    pub async fn install_operator(&self, domain: &str, values: &[&str]) -> Result<Release> {
        let image = self.image("subrosa").await?;
        let openbao = vault::start(self).await?;
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
        self.apply(&namespace).await?;
        self.apply(&json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": OPENBAO_CA, "namespace": NAMESPACE},
            "data": {"ca.crt": self.servers().certificate_pem()},
        }))
        .await?;
        self.set_up_vault(&image, domain, openbao.root_token()).await?;

        let kubeconfig = self.kubeconfig()?;
        let wanted: Vec<String> = values.iter().map(ToString::to_string).collect();
        let install = move || -> Result<Helm> {
            let helm = Helm::with_cluster(&kubeconfig)?;
            let path = |name: &str| anyhow::Ok(chart(name)?.display().to_string());
            let (crds, operator) = (path("subrosa-crds")?, path("subrosa")?);
            helm.run(&["install", "subrosa-crds", &crds, "--namespace", NAMESPACE])?;
            let mut arguments = vec!["install", "subrosa", &operator, "--namespace", NAMESPACE];
            arguments.extend(wanted.iter().flat_map(|value| ["--set", value.as_str()]));
            helm.run(&arguments)?;
            Ok(helm)
        };
        let helm = tokio::task::spawn_blocking(install).await.context("run Helm")??;
        self.is_rolled_out(NAMESPACE, "subrosa").await?;

        let pods = self.network().pods();
        self.apply(&retention_policy()).await?;
        self.apply(&trust_domain(domain, ADDRESS, &[&pods, network::SERVICES])).await?;
        Ok(Release { openbao, helm, domain: domain.to_owned() })
    }

    /// As an administrator would from within the cluster: the image's own command, with a token that goes again.
    async fn set_up_vault(&self, image: &str, domain: &str, token: &str) -> Result<()> {
        let meta = json!({"name": SETUP, "namespace": NAMESPACE});
        self.apply(&json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"token": token},
        }))
        .await?;
        let job = json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": meta,
            "spec": {
                "backoffLimit": 3,
                "template": {"spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": false,
                    "containers": [{
                        "name": SETUP, "image": image,
                        "args": [
                            "vault-setup", "--apply", "--trust-domain", domain, "--address", ADDRESS,
                            "--ca-file", "/ca/ca.crt", "--token-file", "/token/token",
                        ],
                        "volumeMounts": [
                            {"name": "ca", "mountPath": "/ca"}, {"name": "token", "mountPath": "/token"},
                        ],
                    }],
                    "securityContext": {"runAsNonRoot": true, "fsGroup": 65532},
                    "volumes": [
                        {"name": "ca", "configMap": {"name": OPENBAO_CA}},
                        {"name": "token", "secret": {"secretName": SETUP}},
                    ],
                }},
            },
        });
        self.apply(&job).await?;
        let jobs: Api<Job> = Api::namespaced(self.client()?, NAMESPACE);
        let done = wait::until(LIMIT, || async {
            let status = jobs.get(SETUP).await?.status.unwrap_or_default();
            if status.succeeded == Some(1) { Ok(()) } else { Err(anyhow::anyhow!("{status:?}")) }
        });
        if let Err(error) = done.await {
            let log = self.kubectl(&["logs", "--namespace", NAMESPACE, "job/vault-setup"]).await?;
            bail!("subrosa vault-setup in a pod: {error}\n{}", log.all());
        }
        let gone = self.kubectl(&["delete", "job,secret", SETUP, "--namespace", NAMESPACE]).await?;
        if !gone.succeeded() {
            bail!("the administrator's token is still in Secret {NAMESPACE}/{SETUP}: {}", gone.err);
        }
        Ok(())
    }

    /// What the operator's pods logged.
    ///
    /// # Errors
    /// When kubectl cannot be run.
    pub async fn operator_log(&self) -> Result<String> {
        let arguments = [
            "logs",
            "--namespace",
            NAMESPACE,
            "--selector",
            "app.kubernetes.io/component=operator",
            "--tail=-1",
        ];
        Ok(self.kubectl(&arguments).await?.all())
    }
}
