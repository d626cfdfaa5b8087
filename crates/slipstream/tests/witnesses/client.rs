//! A client process that is driven by lines of JSON (`clob.mjs`, `clob.py` and `unified.py` in `tests/conformance`).

use std::{env, path::PathBuf, process::Stdio, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

/// A client that has not answered by then hangs: the official ones wait up to 30 s for settlement.
const PATIENCE: Duration = Duration::from_secs(60);

/// Which official client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// npm `@polymarket/clob-client-v2`.
    TypeScript,
    /// PyPI `py-clob-client-v2`.
    Python,
    /// PyPI `polymarket-client`, the unified client: streams and wallets.
    Unified,
}

/// Where `./test` installed the clients.
pub fn folder() -> PathBuf {
    let named = env::var_os("SLIPSTREAM_WITNESSES");
    named.map(PathBuf::from).expect(
        "SLIPSTREAM_WITNESSES does not name the folder with the official clients; run `./test`, which installs \
         them",
    )
}

/// A refusal as the client reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The HTTP status, if the venue was asked at all.
    pub status: Option<u64>,
    /// The venue's words.
    pub text: String,
    /// The header `Retry-After`, as the client's own transport got it.
    pub retry_after: Option<String>,
}

/// A running client.
pub struct Client {
    pub language: Language,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    _process: Child,
}

impl Client {
    /// Starts it; it knows nobody yet.
    pub fn start(language: Language) -> Self {
        let folder = folder();
        let mut command = match language {
            Language::TypeScript => Command::new(folder.join("venv/bin/node")),
            Language::Python | Language::Unified => Command::new(folder.join("venv/bin/python")),
        };
        let script = match language {
            Language::TypeScript => "clob.mjs",
            Language::Python => "clob.py",
            Language::Unified => "unified.py",
        };
        let mut process = command
            .arg(folder.join(script))
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { language, input, output, _process: process }
    }

    /// One call with its arguments.
    pub async fn call(&mut self, call: &str, arguments: Value) -> Result<Value, Refused> {
        let mut command = arguments;
        command["call"] = json!(call);
        self.input.write_all(format!("{command}\n").as_bytes()).await.unwrap();
        let answer = timeout(PATIENCE, self.output.next_line()).await;
        let line = answer.unwrap_or_else(|_| panic!("no answer to {command}")).unwrap();
        let mut answer: Value = serde_json::from_str(&line.expect("the client ended")).unwrap();
        match answer.get_mut("error") {
            None => Ok(answer["ok"].take()),
            Some(error) => Err(Refused {
                status: error["status"].as_u64(),
                text: error["text"].as_str().unwrap_or_default().to_owned(),
                retry_after: error["retryAfter"].as_str().map(ToOwned::to_owned),
            }),
        }
    }

    /// A call that must succeed.
    pub async fn ok(&mut self, call: &str, arguments: Value) -> Value {
        let shown = arguments.to_string();
        self.call(call, arguments).await.unwrap_or_else(|refused| {
            panic!("{:?}: `{call}` of {shown} was refused: {refused:?}", self.language)
        })
    }

    /// A call that the venue must refuse with this status; returns its words.
    pub async fn refused(&mut self, call: &str, arguments: Value, status: u64) -> String {
        self.refusal(call, arguments, status).await.text
    }

    /// The same, with everything the client was told.
    pub async fn refusal(&mut self, call: &str, arguments: Value, status: u64) -> Refused {
        match self.call(call, arguments).await {
            Ok(answer) => panic!("{:?}: `{call}` was not refused: {answer}", self.language),
            Err(refused) => {
                assert_eq!(refused.status, Some(status), "{}", refused.text);
                refused
            }
        }
    }
}
