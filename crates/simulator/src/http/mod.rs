//! The sockets: a listener for each service on 127.0.0.1 over one world, the ticker that makes its blocks, and
//! outages. Thin: everything that matters is decided in [`World`].

mod account;
mod auth;
mod books;
mod cancels;
mod clob;
mod connection;
mod control;
mod control_orders;
mod cpu;
mod data;
mod edge;
mod extra_keys;
mod gamma;
mod heads;
mod line;
mod live;
mod lookups;
mod markets;
mod orders;
mod params;
mod reads;
mod relayer;
mod rpc;
mod rpc_accounts;
pub mod rpc_view;
mod sockets;

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json, Router,
    extract::{ConnectInfo, Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use domain::{Clock, Hash, Timestamp};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{Notify, watch},
    task::JoinHandle,
};

use self::{
    connection::{Connection, FaultyListener},
    rpc_view::{RpcView, Views},
};
use crate::{
    config::SimulatorConfig,
    world::{Refusal, World, faults::FaultTarget},
};

/// How a listener fails as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outage {
    /// It does not.
    #[default]
    None,
    /// Every request is answered with 503.
    Unavailable,
    /// Every connection is closed at the first request.
    Refused,
    /// Requests are read and never answered, until the outage ends.
    Silent,
}

/// The services that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// CLOB.
    Clob,
    /// Data API.
    Data,
    /// JSON-RPC.
    Rpc,
    /// Gamma API.
    Gamma,
    /// Relayer.
    Relayer,
    /// Live trade feed.
    Live,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Clob, Self::Data, Self::Rpc, Self::Gamma, Self::Relayer, Self::Live];
}

/// What all handlers share.
#[derive(Debug)]
struct Shared {
    world: Mutex<World>,
    clock: ClockHandle,
    due_changed: Notify,
    /// Number of the newest event.
    newest_event: watch::Sender<u64>,
    /// Hash of the newest block.
    newest_block: watch::Sender<Hash>,
    stopped: watch::Receiver<bool>,
    clob_outage: watch::Sender<Outage>,
    data_outage: watch::Sender<Outage>,
    rpc_outage: watch::Sender<Outage>,
    gamma_outage: watch::Sender<Outage>,
    relayer_outage: watch::Sender<Outage>,
    live_outage: watch::Sender<Outage>,
    views: Views,
}

/// The clock, with a `Debug` of its own.
#[derive(Clone)]
struct ClockHandle(Arc<dyn Clock>);

impl std::fmt::Debug for ClockHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

impl Shared {
    /// Brings the world up to now and does something with it.
    fn with<T>(&self, work: impl FnOnce(&mut World, Timestamp) -> T) -> T {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock: whoever comes later must not come with an earlier time, or it would have to wait.
        let now = self.clock.0.now();
        world.tick(now);
        let result = work(&mut world, now);
        let newest = world.events().newest();
        self.newest_event.send_if_modified(|known| std::mem::replace(known, newest) != newest);
        if let Some(block) = world.chain().block(world.chain().head()) {
            self.newest_block.send_if_modified(|known| std::mem::replace(known, block.hash) != block.hash);
        }
        result
    }

    fn outage(&self, service: Service) -> &watch::Sender<Outage> {
        match service {
            Service::Clob => &self.clob_outage,
            Service::Data => &self.data_outage,
            Service::Rpc => &self.rpc_outage,
            Service::Gamma => &self.gamma_outage,
            Service::Relayer => &self.relayer_outage,
            Service::Live => &self.live_outage,
        }
    }
}

/// Access to the world of a running simulator: the Rust form of the control API.
#[derive(Clone, Debug)]
pub struct WorldHandle(Arc<Shared>);

impl WorldHandle {
    /// Brings the world up to now and does something with it, while no request is served.
    pub fn with<T>(&self, work: impl FnOnce(&mut World, Timestamp) -> T) -> T {
        let result = self.0.with(work);
        self.0.due_changed.notify_one();
        result
    }

    /// The number of the newest event of [`World::events`], which changes whenever there is a new one.
    #[must_use]
    pub fn newest_event(&self) -> watch::Receiver<u64> {
        self.0.newest_event.subscribe()
    }

    /// Lets a provider of the JSON-RPC answer like this; `false` when there is no such provider.
    pub fn set_provider(&self, number: usize, view: RpcView) -> bool {
        self.0.views.set(number, view)
    }

    /// Starts or ends an outage of a service.
    pub fn set_outage(&self, service: Service, outage: Outage) {
        self.0.outage(service).send_replace(outage);
    }
}

/// Starts simulators.
#[derive(Clone, Copy, Debug)]
pub struct Simulator;

impl Simulator {
    /// Binds the listeners and starts to make blocks.
    ///
    /// # Errors
    /// When a port cannot be bound.
    pub fn start(config: SimulatorConfig, clock: Arc<dyn Clock>) -> BoxFuture<'static, io::Result<Running>> {
        Box::pin(Self::started(config, clock))
    }

    async fn started(config: SimulatorConfig, clock: Arc<dyn Clock>) -> io::Result<Running> {
        let world = Mutex::new(World::new(&config, clock.now()));
        let (stop, stopped) = watch::channel(false);
        let shared = Arc::new(Shared {
            world,
            clock: ClockHandle(clock),
            due_changed: Notify::new(),
            newest_event: watch::Sender::new(0),
            newest_block: watch::Sender::new(Hash([0; 32])),
            stopped: stopped.clone(),
            clob_outage: watch::Sender::new(Outage::None),
            data_outage: watch::Sender::new(Outage::None),
            rpc_outage: watch::Sender::new(Outage::None),
            gamma_outage: watch::Sender::new(Outage::None),
            relayer_outage: watch::Sender::new(Outage::None),
            live_outage: watch::Sender::new(Outage::None),
            views: Views::default(),
        });
        let mut tasks = Vec::new();
        let clob = with_outage(clob::router(&shared), &shared, Service::Clob);
        let data = with_faults(data::router(&shared), &shared, FaultTarget::Data);
        let data = with_outage(with_limits(data, &shared, Service::Data), &shared, Service::Data);
        let gamma = with_faults(gamma::router(&shared), &shared, FaultTarget::Gamma);
        let gamma = with_outage(with_limits(gamma, &shared, Service::Gamma), &shared, Service::Gamma);
        let relayer = with_limits(relayer::router(&shared), &shared, Service::Relayer);
        let relayer = with_outage(relayer, &shared, Service::Relayer);
        let clob_url = serve(clob, config.clob_port, &stopped, &mut tasks).await?;
        let data_url = serve(data, config.data_port, &stopped, &mut tasks).await?;
        let mut rpc_urls = Vec::new();
        for number in 0..config.rpc_listeners.max(1) {
            // The others take any free port.
            let port = if number == 0 { config.rpc_port } else { 0 };
            rpc_urls.push(serve(provider(&shared), port, &stopped, &mut tasks).await?);
        }
        let rpc_url = rpc_urls.first().cloned().unwrap_or_default();
        let gamma_url = serve(gamma, config.gamma_port, &stopped, &mut tasks).await?;
        let relayer_url = serve(relayer, config.relayer_port, &stopped, &mut tasks).await?;
        let live = with_outage(live::router(&shared), &shared, Service::Live);
        let live_url = serve(live, config.live_port, &stopped, &mut tasks).await?.replace("http://", "ws://");
        let control_url = serve(control::router(&shared), config.control_port, &stopped, &mut tasks).await?;
        tasks.push(tokio::spawn(make_blocks(Arc::clone(&shared), stopped)));
        Ok(Running {
            clob_url,
            data_url,
            rpc_url,
            rpc_urls,
            gamma_url,
            relayer_url,
            live_url,
            control_url,
            shared,
            stop,
            tasks,
        })
    }
}

/// A running simulator. Dropping it stops it as well, without waiting; see [`Running::shutdown`].
#[derive(Debug)]
pub struct Running {
    /// `http://127.0.0.1:port` of the CLOB.
    pub clob_url: String,
    /// Of the Data API.
    pub data_url: String,
    /// Of the Polygon JSON-RPC.
    pub rpc_url: String,
    /// Of the Gamma API.
    pub gamma_url: String,
    /// Of the relayer.
    pub relayer_url: String,
    /// `ws://127.0.0.1:port` of the live trade feed.
    pub live_url: String,
    /// Of every provider of it, the one above first.
    pub rpc_urls: Vec<String>,
    /// Of the control API.
    pub control_url: String,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    /// Access to its world.
    #[must_use]
    pub fn world(&self) -> WorldHandle {
        WorldHandle(Arc::clone(&self.shared))
    }

    /// Stops listening and waits until every open request is answered or cut off.
    pub async fn shutdown(self) {
        for service in Service::ALL {
            self.shared.outage(service).send_replace(Outage::None);
        }
        for listener in 0..self.rpc_urls.len() {
            self.shared.views.set(listener, RpcView::default());
        }
        self.stop.send_replace(true);
        for task in self.tasks {
            // A task that was cancelled or panicked has stopped as well.
            let _ = task.await;
        }
    }
}

async fn serve(
    router: Router,
    port: u16,
    stopped: &watch::Receiver<bool>,
    tasks: &mut Vec<JoinHandle<()>>,
) -> io::Result<String> {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).await?;
    let address = listener.local_addr()?;
    let mut stopped = stopped.clone();
    let service = router.into_make_service_with_connect_info::<Connection>();
    let server = axum::serve(FaultyListener(listener), service).with_graceful_shutdown(async move {
        // An error means that the sender is gone, which is a stop as well.
        let _ = stopped.wait_for(|stop| *stop).await;
    });
    tasks.push(tokio::spawn(async move {
        if let Err(error) = server.await {
            tracing::error!(%error, %address, "simulator listener failed");
        }
    }));
    Ok(format!("http://{address}"))
}

/// Brings the world forward whenever something is due.
async fn make_blocks(shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    loop {
        let (now, due) = shared.with(|world, now| (now, world.next_due()));
        let sleep = async {
            match due {
                Some(due) => shared.clock.0.sleep(due.since(now)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = sleep => {}
            () = shared.due_changed.notified() => {}
            // An error means that the simulator was dropped.
            _ = stopped.wait_for(|stop| *stop) => return,
        }
    }
}

fn with_limits(router: Router, shared: &Arc<Shared>, service: Service) -> Router {
    let state = (Arc::clone(shared), service);
    router.layer(middleware::from_fn_with_state(state, edge::limit))
}

fn with_faults(router: Router, shared: &Arc<Shared>, target: FaultTarget) -> Router {
    let state = (Arc::clone(shared), target);
    router.layer(middleware::from_fn_with_state(state, reads::with_faults))
}

/// One more provider of the JSON-RPC.
fn provider(shared: &Arc<Shared>) -> Router {
    let listener = shared.views.add();
    let failing = rpc_view::failing(rpc::router(shared, listener), shared, listener);
    with_outage(failing, shared, Service::Rpc)
}

fn with_outage(router: Router, shared: &Arc<Shared>, service: Service) -> Router {
    let state = (Arc::clone(shared), service);
    router.layer(middleware::from_fn_with_state(state, fail_as_a_whole))
}

async fn fail_as_a_whole(
    State((shared, service)): State<(Arc<Shared>, Service)>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    request: Request,
    next: Next,
) -> Response {
    let mut outage = shared.outage(service).subscribe();
    let present = *outage.borrow_and_update();
    match present {
        Outage::None => next.run(request).await,
        Outage::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable").into_response(),
        Outage::Refused => cut(&connection),
        Outage::Silent => {
            // An error means that the simulator is gone.
            let _ = outage.wait_for(|outage| *outage != Outage::Silent).await;
            cut(&connection)
        }
    }
}

/// Closes the connection without a byte of a reply.
fn cut(connection: &Connection) -> Response {
    connection.cut_after(0);
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

fn reply(result: Result<Value, Refusal>) -> Response {
    match result {
        Ok(value) => Json(value).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

/// Unix seconds in ISO 8601.
fn iso(seconds: i64) -> String {
    Timestamp::from_seconds(seconds).to_string()
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut body = json!({ "error": self.error });
        if let Some(map) = body.as_object_mut() {
            if let Some(code) = self.code {
                map.insert("code".to_owned(), json!(code));
            }
            if let Some(seconds) = self.retry_after {
                map.insert("retry_after_seconds".to_owned(), json!(seconds));
            }
        }
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(body)).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(axum::http::header::RETRY_AFTER, seconds.into());
        }
        response
    }
}
