//! `tancho-agent enroll`

use clap::Args;

use super::Common;

/// Options of `enroll`.
#[derive(Debug, Args)]
pub struct EnrollArgs {
    /// QUIC address of the relay.
    #[arg(long, value_name = "HOST:PORT")]
    relay: String,
    /// The one-time code that `tancho-relay node invite` printed.
    #[arg(long)]
    code: String,
    #[command(flatten)]
    common: Common,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Makes this agent a node of the site the code was made for. A running agent connects within a second.
pub async fn run(args: EnrollArgs) -> anyhow::Result<()> {
    let config = args.common.load()?;
    let enrolled = crate::uplink::enroll(&args.relay, &args.code, &config.data_dir).await?;
    if args.json {
        println!(
            "{}",
            serde_json::json!({
                "node_id": enrolled.node_id,
                "site_code": enrolled.site_code,
                "site_name": enrolled.site_name,
                "certificate_not_after_ms": enrolled.not_after_ms,
            })
        );
    } else {
        println!(
            "enrolled as a node of {} ({})",
            enrolled.site_name, enrolled.site_code
        );
    }
    Ok(())
}
