//! An HTTP/1.1 client that costs little, so that what it measures is the other side.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::rfb::tcp;

/// A kept connection.
pub struct Connection(BufReader<TcpStream>);

/// A request, ready to be sent any number of times.
pub struct Request(Vec<u8>);

/// What came back.
pub struct Answer {
    pub status: u16,
    pub body: String,
}

/// What a load of requests led to.
pub struct Load {
    /// One latency per request.
    pub latencies: Vec<Duration>,
    /// From the first request to the last answer.
    pub took: Duration,
}

impl Request {
    /// `head` is the request line without the version, then headers, each in a line of its own.
    pub fn new(host: SocketAddr, head: &[&str], body: &str) -> Self {
        let mut text = String::new();
        for (n, line) in head.iter().enumerate() {
            let end = if n == 0 { " HTTP/1.1\r\n" } else { "\r\n" };
            text.push_str(line);
            text.push_str(end);
        }
        let length = body.len();
        Self(format!("{text}Host: {host}\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes())
    }
}

impl Connection {
    /// A new connection.
    pub fn open(address: SocketAddr) -> anyhow::Result<Self> {
        Ok(Self(BufReader::new(tcp(address)?)))
    }

    /// Sends, and waits for the whole answer.
    pub fn ask(&mut self, request: &Request) -> anyhow::Result<Answer> {
        self.0.get_mut().write_all(&request.0)?;
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        let status = line.split(' ').nth(1).context("no answer")?.parse()?;
        let mut length = 0;
        loop {
            line.clear();
            self.0.read_line(&mut line)?;
            if line.trim_end().is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').context("not a header")?;
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse()?,
                "transfer-encoding" => bail!("an answer without a length"),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok(Answer { status, body: String::from_utf8(body)? })
    }
}

/// Asks the same over so many kept connections, again and again for `how_long`. Each answer must be 200
/// and hold `expected`.
pub fn load(
    address: SocketAddr,
    request: &Request,
    connections: usize,
    how_long: Duration,
    expected: &str,
) -> anyhow::Result<Load> {
    let start = Barrier::new(connections);
    let began = Instant::now();
    let each = thread::scope(|scope| {
        let work = || ask_on(address, request, how_long, expected, &start);
        let workers: Vec<_> = (0..connections).map(|_| scope.spawn(work)).collect();
        let join = |it: thread::ScopedJoinHandle<'_, _>| {
            it.join().unwrap_or_else(|cause| std::panic::resume_unwind(cause))
        };
        workers.into_iter().map(join).collect::<anyhow::Result<Vec<_>>>()
    })?;
    Ok(Load { latencies: each.concat(), took: began.elapsed() })
}

fn ask_on(
    address: SocketAddr,
    request: &Request,
    how_long: Duration,
    expected: &str,
    start: &Barrier,
) -> anyhow::Result<Vec<Duration>> {
    let connection = Connection::open(address);
    start.wait();
    let mut connection = connection?;
    let began = Instant::now();
    let mut latencies = Vec::new();
    while began.elapsed() < how_long {
        let asked = Instant::now();
        let answer = connection.ask(request)?;
        latencies.push(asked.elapsed());
        let Answer { status, body } = answer;
        ensure!(status == 200 && body.contains(expected), "answered {status}: {body}");
    }
    Ok(latencies)
}
