//! One timed run of one command.

use std::io;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use shoal_tests::lab::Host;

/// A server that was started is waited for so long.
const START: Duration = Duration::from_secs(10);

/// What a run cost.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Wall time.
    pub wall: Duration,
    /// Peak resident memory of the process itself, in bytes.
    pub peak_bytes: u64,
}

/// Runs a command to its end and measures it. Its output is thrown away.
pub fn time(command: &mut Command) -> io::Result<Cost> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let start = Instant::now();
    let mut child = command.spawn()?;
    let stderr = child.stderr.take();
    let reader = std::thread::spawn(move || {
        stderr.map_or(String::new(), |stderr| {
            io::read_to_string(stderr).unwrap_or_default()
        })
    });
    let peak = watch_peak(&child);
    let status = child.wait()?;
    let wall = start.elapsed();
    let said = reader.join().unwrap_or_default();
    if !status.success() {
        return Err(io::Error::other(format!(
            "{command:?} failed ({status}): {said}"
        )));
    }
    Ok(Cost {
        wall,
        peak_bytes: peak.join().unwrap_or(0),
    })
}

/// Follows the kernel's high-water mark of a child until it is gone.
pub fn watch_peak(child: &Child) -> std::thread::JoinHandle<u64> {
    let id = child.id();
    std::thread::spawn(move || {
        let mut peak = 0;
        while let Some(now) = peak_bytes(id) {
            peak = peak.max(now);
            std::thread::sleep(Duration::from_millis(10));
        }
        peak
    })
}

/// The most memory a process has had resident (`VmHWM`), in bytes; nothing once it ended.
pub fn peak_bytes(id: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// Whether a program can be found on the PATH.
pub fn installed(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

/// A server that ends with this value.
pub struct Server(pub Child);

impl Drop for Server {
    fn drop(&mut self) {
        // SIGTERM, so that a server with workers takes them along.
        let pid = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

/// A port of loopback that is free now.
pub fn free_port() -> io::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port())
}

/// Waits until something listens on a port of loopback.
pub fn wait_for_port(port: u16) -> io::Result<()> {
    let start = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        if start.elapsed() > START {
            return Err(io::Error::other(format!("nothing listens on port {port}")));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Waits until a command ends well: one that asks a server on another host something.
pub fn wait_for_success(mut ask: impl FnMut() -> Command) -> io::Result<()> {
    let start = Instant::now();
    let mut quiet = || ask().stdout(Stdio::null()).stderr(Stdio::null()).status();
    while !quiet()?.success() {
        if start.elapsed() > START {
            return Err(io::Error::other(format!("{:?} goes on failing", ask())));
        }
    }
    Ok(())
}

/// What iperf3 on `client` says at the end of a test, with these arguments, against one that it
/// starts on `server`.
pub fn iperf3(server: &Host, client: &Host, args: &[&str]) -> io::Result<serde_json::Value> {
    let child = server
        .command("iperf3")
        .args(["-s", "-1"])
        .stdout(Stdio::null())
        .spawn()?;
    let _server = Server(child);
    let start = Instant::now();
    loop {
        let output = client
            .command("iperf3")
            .args(["-J", "-c", &server.ip.to_string()])
            .args(args)
            .output()?;
        let mut told: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        match told["error"].as_str() {
            None => return Ok(told["end"].take()),
            // It does not listen yet.
            Some(why) if why.contains("connect") && start.elapsed() < START => {}
            Some(why) => return Err(io::Error::other(format!("iperf3: {why}"))),
        }
    }
}
