// Kube-rs-bench measures kube-rs' reflector in the same way as our informer is measured: time to sync, memory per object,
// updates a second into a handler, and the latency of each from the firehose's annotation.
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::{pin_mut, StreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::{reflector, watcher, WatchStreamExt};
use kube::{Api, Client, Config, ResourceExt};
use tokio::sync::oneshot;

const SENT: &str = "firehose.transport-informer.io/sent";
const KEPT_LATENCIES: usize = 5_000_000; // 40 MB at most; beyond that the rate is the figure, not the latency

type Failure = Box<dyn std::error::Error + Send + Sync>;

struct Options {
    kubeconfig: Option<String>,
    server: Option<String>,
    trigger: Option<String>,
    window: Duration,
}

fn options() -> Result<Options, Failure> {
    let mut o = Options {
        kubeconfig: None,
        server: None,
        trigger: None,
        window: Duration::from_secs(10),
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words
            .next()
            .ok_or_else(|| format!("{word} needs a value"))?;
        match word.as_str() {
            "--kubeconfig" => o.kubeconfig = Some(value),
            "--server" => o.server = Some(value),
            "--trigger" => o.trigger = Some(value),
            "--window" => o.window = Duration::from_secs_f64(value.trim_end_matches('s').parse()?),
            _ => return Err(format!("unknown {word}: --kubeconfig FILE | --server URL, --trigger PATH, --window SECONDS").into()),
        }
    }
    Ok(o)
}

/// What the handler saw between the opening and the end of the window.
struct Window {
    updates: usize,
    latencies: Vec<u64>,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let o = options()?;
    let config = match (&o.server, &o.kubeconfig) {
        (Some(server), _) => Config::new(server.parse()?),
        (None, Some(path)) => {
            Config::from_custom_kubeconfig(
                Kubeconfig::read_from(path)?,
                &KubeConfigOptions::default(),
            )
            .await?
        }
        (None, None) => return Err("give --server or --kubeconfig".into()),
    };
    let client = Client::try_from(config)?;
    let (reader, writer) = reflector::store::<ConfigMap>();
    let began = Instant::now();
    let (synced_sender, synced) = oneshot::channel();
    let (open_sender, open) = oneshot::channel::<Duration>();
    let follower = tokio::spawn(follow(
        Api::all(client.clone()),
        writer,
        synced_sender,
        open,
    ));
    synced.await?;
    let sync_seconds = began.elapsed().as_secs_f64();
    let peak = memory("VmHWM:");
    let objects = reader.len();
    // SAFETY: malloc_trim only gives free pages back.
    unsafe { libc::malloc_trim(0) };
    let settled = memory("VmRSS:");

    let mut window = Window {
        updates: 0,
        latencies: Vec::new(),
    };
    if !o.window.is_zero() {
        if let Some(path) = &o.trigger {
            client
                .request_text(http::Request::post(path.as_str()).body(Vec::new())?)
                .await?;
        }
        let _ = open_sender.send(o.window);
        window = follower.await??;
    }
    window.latencies.sort_unstable();
    let quantile = |q: f64| match window.latencies.len() {
        0 => 0.0,
        n => window.latencies[(q * (n - 1) as f64) as usize] as f64 / 1e6,
    };
    let report = serde_json::json!({
        "peer": "kube-rs 5.0", "mode": "reflector, typed", "objects": objects, "syncSeconds": sync_seconds,
        "rssPeakBytes": peak, "rssSettledBytes": settled, "rssSettledBytesPerObject": settled / (objects.max(1) as u64),
        "windowSeconds": o.window.as_secs_f64(), "updates": window.updates,
        "updatesPerSecond": if o.window.is_zero() { 0.0 } else { window.updates as f64 / o.window.as_secs_f64() },
        "latencyP50Milliseconds": quantile(0.5), "latencyP99Milliseconds": quantile(0.99),
        "latencyMaxMilliseconds": quantile(1.0),
    });
    println!("{report}");
    Ok(())
}

/// Keeps the store current; once asked to, counts updates for as long as asked, and ends.
async fn follow(
    api: Api<ConfigMap>,
    writer: reflector::store::Writer<ConfigMap>,
    synced: oneshot::Sender<()>,
    mut open: oneshot::Receiver<Duration>,
) -> Result<Window, Failure> {
    let mut window = Window {
        updates: 0,
        latencies: Vec::new(),
    };
    let mut synced = Some(synced);
    let mut end: Option<tokio::time::Instant> = None;
    let stream = watcher(api, watcher::Config::default()).reflect(writer);
    pin_mut!(stream);
    loop {
        let far = tokio::time::Instant::now() + Duration::from_secs(3600);
        tokio::select! {
            length = &mut open, if end.is_none() => end = Some(tokio::time::Instant::now() + length?),
            _ = tokio::time::sleep_until(end.unwrap_or(far)) => return Ok(window),
            event = stream.next() => match event.ok_or("the stream ended")?? {
                watcher::Event::InitDone => {
                    if let Some(sender) = synced.take() {
                        let _ = sender.send(());
                    }
                }
                watcher::Event::Apply(object) if end.is_some() => window.note(&object),
                _ => {}
            },
        }
    }
}

impl Window {
    fn note(&mut self, object: &ConfigMap) {
        self.updates += 1;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_nanos() as u64);
        let sent = object
            .annotations()
            .get(SENT)
            .and_then(|text| text.parse::<u64>().ok())
            .unwrap_or(0);
        if sent > 0 && self.latencies.len() < KEPT_LATENCIES {
            self.latencies.push(now.saturating_sub(sent));
        }
    }
}

/// A line of this process's status, in bytes.
fn memory(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .map_or(0, |kilobytes| kilobytes * 1024)
}
