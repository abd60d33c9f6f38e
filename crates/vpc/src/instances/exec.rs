//! Programs that a caller has run in an instance. What they are is told in the trail before they run; their words are not.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use avouch_gate::{Error, Response, Result};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use super::{Instance, Status};
use crate::call::Call;
use crate::errors::not_found;
use crate::fields::Fields;
use crate::objects::{Object, sql};

/// Bytes of a request; so that what is given as input fits into a pipe.
pub const LARGEST: usize = 64 << 10;
/// Seconds that a program has, unless the caller gives it fewer.
const SECONDS: i64 = 50;

/// What is to be run.
#[derive(Debug)]
pub struct Order {
    /// The program and its arguments; at least one.
    pub argv: Vec<String>,
    /// Its standard input.
    pub input: Vec<u8>,
    /// Seconds after which it is killed.
    pub seconds: u64,
}

/// What came of it. No `Debug`: nobody knows what a program prints.
pub struct Outcome {
    /// Status, if it ended by itself.
    pub status: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Standard output.
    pub output: Vec<u8>,
    /// Standard error.
    pub errors: Vec<u8>,
}

/// Who can run programs in instances.
#[async_trait]
pub trait Shell: Send + Sync + std::fmt::Debug {
    /// Runs a program in an instance and waits for its end. It is killed when this is dropped.
    ///
    /// # Errors
    /// `Conflict` where this replica does not run the instance or the program cannot be run, `Unavailable`.
    async fn exec(&self, id: &str, order: Order) -> Result<Outcome>;
}

/// Whoever runs the instances of this replica, once he is there.
#[derive(Debug, Default)]
pub struct Shells(pub OnceLock<Arc<dyn Shell>>);

/// `POST /avouch/v1/instances/{id}/exec`.
pub async fn exec(call: Call) -> Result<Response> {
    let mut fields = Fields::of(&call.request)?;
    let argv = fields.texts("argv")?;
    let argv = fields.must("argv", argv)?;
    let input = fields.text("stdin")?.unwrap_or_default();
    let seconds = fields.number("timeout", 1, SECONDS)?.unwrap_or(SECONDS);
    fields.done()?;
    let Some(program) = argv.first().filter(|p| !p.is_empty()).cloned() else {
        return Err(Error::invalid("argv", "The property 'argv' must begin with a program."));
    };
    if argv.iter().any(|word| word.contains('\0')) {
        return Err(Error::invalid("argv", "The property 'argv' must not contain the character NUL."));
    }
    let wrong = |_| Error::invalid("stdin", "The property 'stdin' must be base64.");
    let input = BASE64_STANDARD.decode(input).map_err(wrong)?;
    let (object, permit) = call.permitted::<Instance>("is.instance.instance.console").await?;
    call.ctx.detail(|d| {
        d.request("program", program);
    });
    let (view, id) = (call.view.clone(), object.id.clone());
    // Told before it is done: nobody knows what it does.
    call.ctx
        .write(permit, move |tx, _| {
            let now: Object<Instance> =
                sql::get(tx, &view.account, &id)?.ok_or_else(|| not_found("instance"))?;
            match now.body.status {
                Status::Running => Ok(()),
                _ => Err(Error::conflict("Only in a running instance programs can be run.")),
            }
        })
        .await?;
    let shells = call.ctx.app().state::<Shells>()?;
    let shell = shells.0.get().ok_or_else(|| Error::conflict("This server runs no instances."))?;
    let order = Order { argv, input, seconds: seconds.unsigned_abs() };
    let outcome = shell.exec(&object.id, order).await?;
    let answer = json!({
        "exit_status": outcome.status,
        "signal": outcome.signal,
        "stderr": BASE64_STANDARD.encode(outcome.errors),
        "stdout": BASE64_STANDARD.encode(outcome.output),
    });
    Response::json(200, &answer)
}
