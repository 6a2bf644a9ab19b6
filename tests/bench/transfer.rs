//! `get` beside rsync from a daemon, curl from nginx, and sendme; peak memory of both sides.

use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use shoal_tests::shoal::binary;

use crate::contender::{self, Cost, Server, installed, time};
use crate::report::{self, Contender};
use crate::sets::{self, Sets};

/// Prints the two tables: the file and the folder.
pub fn run(sets: &Sets, rounds: usize) -> io::Result<()> {
    sets::warm(&sets.model)?;
    sets::warm(&sets.folder)?;
    one(sets, rounds, "Get of the 2 GiB file", &sets.model)?;
    one(
        sets,
        rounds,
        "Get of the folder (20,000 files, 1 GiB)",
        &sets.folder,
    )
}

fn one(sets: &Sets, rounds: usize, title: &str, source: &Path) -> io::Result<()> {
    let servers = sets.fresh("servers")?;
    let (ticket, sharer) = share(&servers.join("home"), source)?;
    let rsync = if installed("rsync") {
        Some(rsync_daemon(&servers, source)?)
    } else {
        None
    };
    let nginx = if source.is_file() && installed("nginx") {
        Some(nginx(&servers, source)?)
    } else {
        None
    };
    let sendme = if installed("sendme") {
        Some(sendme(&servers, source)?)
    } else {
        None
    };
    let mut contenders = vec![contender("shoal get", || {
        let to = copies(sets, source, "get")?;
        let home = sets.fresh("get-home")?;
        sets::settle(&to)?;
        time(
            Command::new(binary())
                .env("SHOAL_HOME", home)
                .args(["--progress", "none", "get", &ticket])
                .arg(to.join("copy")),
        )
    })];
    if let Some((_server, port)) = &rsync {
        let url = format!("rsync://127.0.0.1:{port}/data/");
        contenders.push(contender("rsync daemon", move || {
            let to = copies(sets, source, "rsync")?;
            sets::settle(&to)?;
            time(Command::new("rsync").args(["-a", "-W", &url]).arg(to))
        }));
    }
    if let Some((_server, url)) = &nginx {
        contenders.push(contender("curl from nginx", move || {
            let to = sets.fresh("curl")?;
            sets::settle(&to)?;
            time(
                Command::new("curl")
                    .args(["-sf", url, "-o"])
                    .arg(to.join("copy")),
            )
        }));
    }
    if let Some((_server, ticket)) = &sendme {
        contenders.push(contender("sendme", move || {
            let to = copies(sets, source, "sendme")?;
            sets::settle(&to)?;
            time(
                Command::new("sendme")
                    .args(["receive", ticket])
                    .current_dir(to),
            )
        }));
    }
    for (there, name) in [
        (rsync.is_some(), "rsync"),
        (nginx.is_some() || source.is_dir(), "nginx"),
        (sendme.is_some(), "sendme"),
    ] {
        if !there {
            eprintln!("  {name} is not installed");
        }
    }
    let rows = report::interleave(&mut contenders, rounds)?;
    drop(contenders);
    report::print(title, &rows, &["rsync daemon", "curl from nginx"]);
    let peak = contender::peak_bytes(sharer.0.id()).unwrap_or(0);
    println!("\nPeak memory of `shoal share`: {} MiB", peak >> 20);
    drop(sharer);
    sets::remove(&sets.scratch)
}

/// Where a copy of `source` goes.
fn copies(sets: &Sets, source: &Path, name: &str) -> io::Result<PathBuf> {
    match source.is_dir() {
        true => sets.unused(name),
        false => sets.fresh(name),
    }
}

fn contender<'a>(name: &str, run: impl FnMut() -> io::Result<Cost> + 'a) -> Contender<'a> {
    Contender {
        name: name.to_owned(),
        run: Box::new(run),
    }
}

/// Shares a path from a home of its own; gives the ticket and the process.
pub fn share(home: &Path, source: &Path) -> io::Result<(String, Server)> {
    ticket_of(share_command(home, source))
}

/// The command that shares a path from a home of its own.
pub fn share_command(home: &Path, source: &Path) -> Command {
    let mut command = Command::new(binary());
    command
        .env("SHOAL_HOME", home)
        .args(["--progress", "none", "share"])
        .arg(source);
    command
}

/// Starts a server; gives the first line that it prints, and the process.
pub fn ticket_of(mut command: Command) -> io::Result<(String, Server)> {
    line_of(command.stderr(Stdio::null()))
}

/// The same, of a program that may complain.
pub fn line_of(command: &mut Command) -> io::Result<(String, Server)> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = child
        .stdout
        .take()
        .ok_or_else(|| io::Error::other("no stdout"))?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    if line.trim().is_empty() {
        return Err(io::Error::other("it printed nothing"));
    }
    Ok((line.trim().to_owned(), Server(child)))
}

/// Serves a path by an rsync daemon on loopback; gives it and its port. A file is alone in it.
pub fn rsync_daemon(dir: &Path, source: &Path) -> io::Result<(Server, u16)> {
    let port = contender::free_port()?;
    let config = dir.join("rsyncd.conf");
    let (module, only) = if source.is_dir() {
        (source, String::new())
    } else {
        let parent = source.parent().unwrap_or(source);
        let name = source
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        (parent, format!("include = /{name}\nexclude = *\n"))
    };
    std::fs::write(
        &config,
        format!(
            "use chroot = no\nport = {port}\naddress = 127.0.0.1\n[data]\npath = {}\nread only = yes\n{only}",
            module.display()
        ),
    )?;
    let child = Command::new("rsync")
        .args(["--daemon", "--no-detach", "--config"])
        .arg(&config)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let server = Server(child);
    contender::wait_for_port(port)?;
    Ok((server, port))
}

fn nginx(dir: &Path, source: &Path) -> io::Result<(Server, String)> {
    let port = contender::free_port()?;
    let config = dir.join("nginx.conf");
    let root = source.parent().unwrap_or(source).display().to_string();
    let state = dir.display();
    std::fs::write(
        &config,
        format!(
            "daemon off;\nuser root;\npid {state}/nginx.pid;\nerror_log {state}/nginx.err;\nworker_processes 1;\n\
             events {{ worker_connections 64; }}\nhttp {{ access_log off; sendfile on; tcp_nopush on;\n\
             client_body_temp_path {state}/b; proxy_temp_path {state}/p; fastcgi_temp_path {state}/f;\n\
             uwsgi_temp_path {state}/u; scgi_temp_path {state}/s;\n\
             server {{ listen 127.0.0.1:{port}; root {root}; }} }}\n"
        ),
    )?;
    let child = Command::new("nginx")
        .arg("-c")
        .arg(&config)
        .arg("-p")
        .arg(dir)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let server = Server(child);
    contender::wait_for_port(port)?;
    let name = source.file_name().unwrap_or_default().to_string_lossy();
    Ok((server, format!("http://127.0.0.1:{port}/{name}")))
}

fn sendme(dir: &Path, source: &Path) -> io::Result<(Server, String)> {
    let mut child = Command::new("sendme")
        .args(["send", "--no-progress"])
        .arg(source)
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let stdout = child
        .stdout
        .take()
        .ok_or_else(|| io::Error::other("no stdout"))?;
    let server = Server(child);
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        if let Some(ticket) = line.trim().strip_prefix("sendme receive ") {
            return Ok((server, ticket.to_owned()));
        }
    }
    Err(io::Error::other("sendme printed no ticket"))
}
