//! Runs a simulation and tells how it went.

fn main() {
    let receivers: usize = std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(8);
    use shoal_simulations::swarm::*;
    let rate = mbit(191.4);
    let bytes = std::env::args().nth(2).and_then(|a| a.parse().ok()).unwrap_or(512) * MIB;
    let setup = Setup::room(1, bytes, receivers, rate);
    let t = std::time::Instant::now();
    let out = World::new(setup).run(std::time::Duration::from_secs(3600));
    match out {
        Ok(o) => {
            let bound = bytes as f64 / rate;
            println!("{receivers}: wall {:.2} x p50 {:.2} x source {:.2} x repeated {:.3} events {} took {:?}", o.wall.as_secs_f64()/bound, o.quantile(0.5).as_secs_f64()/bound, o.sources_sent as f64/bytes as f64, o.repeated as f64/bytes as f64, o.events, t.elapsed());
        }
        Err(v) => println!("{v}"),
    }
}
