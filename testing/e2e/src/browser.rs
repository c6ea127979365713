//! A headless Chromium, driven step by step, so that a test can do other things in between.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex;

use crate::image::Image;
use crate::outside;
use crate::wait::SOON;

/// One browser with a fresh profile. Its tabs share cookies, as a person's do. It ends with this value
/// and its tabs.
#[derive(Clone)]
pub struct Browser {
    driver: Arc<Mutex<Driver>>,
    shots: PathBuf,
}

/// One tab.
pub struct Tab {
    browser: Browser,
    name: String,
}

/// The process of `driver.mjs`, which closes the browser when its input ends.
struct Driver {
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    shots: u32,
    steps: u64,
}

impl Browser {
    /// Starts one. Pictures of `test` go to `target/e2e-shots/<test>`.
    ///
    /// # Errors
    /// When Chromium does not start.
    pub async fn start(test: &str) -> anyhow::Result<Self> {
        let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from);
        Self::start_at_home(test, &home).await
    }

    /// Starts one whose `HOME`, and so whose certificate database, is this folder.
    ///
    /// # Errors
    /// When Chromium does not start.
    pub async fn start_at_home(test: &str, home: &Path) -> anyhow::Result<Self> {
        let folder = tokio::task::spawn_blocking(outside::browser_driver).await??;
        let shots = outside::target().join("e2e-shots").join(test);
        // What an earlier run left would be taken for this one's.
        drop(std::fs::remove_dir_all(&shots));
        std::fs::create_dir_all(&shots)?;
        let chromium = std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".into());
        let deadline = SOON.as_millis() as u64;
        let options = json!({ "executable": chromium, "deadline": deadline, "home": home });
        let mut child = Command::new("node")
            .arg(folder.join("driver.mjs"))
            .arg(options.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start node")?;
        let input = child.stdin.take().context("node has no input")?;
        let output = child.stdout.take().context("node has no output")?;
        let output = BufReader::new(output).lines();
        let mut driver = Driver { _child: child, input, output, shots: 0, steps: 0 };
        driver.answer(0).await.context("Chromium did not start")?;
        Ok(Self { driver: Arc::new(Mutex::new(driver)), shots })
    }

    /// Opens an empty tab.
    ///
    /// # Errors
    /// When the browser is gone.
    pub async fn open(&self) -> anyhow::Result<Tab> {
        let name = self.driver.lock().await.steps.to_string();
        self.step("", json!({ "do": "open", "name": name })).await?;
        Ok(Tab { browser: self.clone(), name })
    }

    /// All cookies that the browser holds: name, domain, path and attributes, as Playwright tells them.
    ///
    /// # Errors
    /// When the browser is gone.
    pub async fn cookies(&self) -> anyhow::Result<Vec<Value>> {
        let cookies = self.step("", json!({ "do": "cookies" })).await?;
        Ok(cookies.as_array().cloned().unwrap_or_default())
    }

    /// What pages said against themselves since the last call: breaches of their own content security
    /// policy, and exceptions.
    ///
    /// # Errors
    /// When the browser is gone.
    pub async fn complaints(&self) -> anyhow::Result<Vec<String>> {
        let complaints = self.step("", json!({ "do": "complaints" })).await?;
        Ok(serde_json::from_value(complaints)?)
    }

    async fn next_shot(&self, name: &str) -> PathBuf {
        let mut driver = self.driver.lock().await;
        driver.shots += 1;
        self.shots.join(format!("{:02}-{name}.png", driver.shots))
    }

    async fn step(&self, tab: &str, mut step: Value) -> anyhow::Result<Value> {
        let mut driver = self.driver.lock().await;
        driver.steps += 1;
        let id = driver.steps;
        step["id"] = json!(id);
        step["tab"] = json!(tab);
        driver.input.write_all(format!("{step}\n").as_bytes()).await?;
        driver.answer(id).await.with_context(|| format!("the step {step}"))
    }
}

impl Driver {
    async fn answer(&mut self, id: u64) -> anyhow::Result<Value> {
        let line = self.output.next_line().await?.context("the browser's driver is gone")?;
        let mut answer: Value = serde_json::from_str(&line).context(line)?;
        ensure!(answer["id"] == id, "an answer to another step: {answer}");
        match answer["error"].as_str() {
            Some(error) => bail!("{error}"),
            None => Ok(answer["value"].take()),
        }
    }
}

/// The selector of an element by its test id.
pub fn id(name: &str) -> String {
    format!("[data-testid=\"{name}\"]")
}

impl Tab {
    /// Goes to a page, and gives its HTTP status.
    ///
    /// # Errors
    /// When it cannot be loaded.
    pub async fn goto(&self, url: &str) -> anyhow::Result<u64> {
        let status = self.step(json!({ "do": "goto", "url": url })).await?;
        status.as_u64().context("the page has no status")
    }

    /// Where it is.
    ///
    /// # Errors
    /// When the browser is gone.
    pub async fn url(&self) -> anyhow::Result<String> {
        let url = self.step(json!({ "do": "url" })).await?;
        Ok(url.as_str().unwrap_or_default().to_owned())
    }

    /// Clicks an element, once it can be clicked.
    ///
    /// # Errors
    /// When it cannot in time.
    pub async fn click(&self, selector: &str) -> anyhow::Result<()> {
        self.step(json!({ "do": "click", "selector": selector })).await.map(drop)
    }

    /// Puts text into an input.
    ///
    /// # Errors
    /// When it is not there in time.
    pub async fn fill(&self, selector: &str, text: &str) -> anyhow::Result<()> {
        self.step(json!({ "do": "fill", "selector": selector, "text": text })).await.map(drop)
    }

    /// Chooses one of what a select offers, by its value.
    ///
    /// # Errors
    /// When it is not offered in time.
    pub async fn choose(&self, selector: &str, value: &str) -> anyhow::Result<()> {
        self.step(json!({ "do": "choose", "selector": selector, "value": value })).await.map(drop)
    }

    /// Waits until an element can be seen.
    ///
    /// # Errors
    /// When it cannot in time.
    pub async fn wait(&self, selector: &str) -> anyhow::Result<()> {
        let step = json!({ "do": "wait", "selector": selector, "state": "visible" });
        self.step(step).await.map(drop)
    }

    /// Waits until the page has this `data-state`.
    ///
    /// # Errors
    /// When it has not in time.
    pub async fn reached(&self, state: &str) -> anyhow::Result<()> {
        let selector = format!("html[data-state=\"{state}\"]");
        let step = json!({ "do": "wait", "selector": selector, "state": "attached" });
        self.step(step).await.map(drop)
    }

    /// The text that an element shows.
    ///
    /// # Errors
    /// When it is not there in time.
    pub async fn text(&self, selector: &str) -> anyhow::Result<String> {
        let text = self.step(json!({ "do": "text", "selector": selector })).await?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// An attribute of an element.
    ///
    /// # Errors
    /// When the element is not there in time.
    pub async fn attribute(&self, selector: &str, name: &str) -> anyhow::Result<Option<String>> {
        let step = json!({ "do": "attribute", "selector": selector, "name": name });
        Ok(self.step(step).await?.as_str().map(str::to_owned))
    }

    /// How many elements there are.
    ///
    /// # Errors
    /// When the browser is gone.
    pub async fn count(&self, selector: &str) -> anyhow::Result<u64> {
        let count = self.step(json!({ "do": "count", "selector": selector })).await?;
        count.as_u64().context("no count")
    }

    /// Types, key by key, into whatever has the focus.
    ///
    /// # Errors
    /// When the browser is gone.
    pub async fn type_text(&self, text: &str) -> anyhow::Result<()> {
        self.step(json!({ "do": "type", "text": text })).await.map(drop)
    }

    /// Presses a key or a chord, such as `Control+Alt+t`.
    ///
    /// # Errors
    /// When there is no such key.
    pub async fn press(&self, key: &str) -> anyhow::Result<()> {
        self.step(json!({ "do": "press", "key": key })).await.map(drop)
    }

    /// Runs a script in the page, and gives what it comes to.
    ///
    /// # Errors
    /// When it throws.
    pub async fn evaluate(&self, script: &str) -> anyhow::Result<Value> {
        self.step(json!({ "do": "evaluate", "script": script })).await
    }

    /// The pixels of the desktop, as the viewer's canvas holds them.
    ///
    /// # Errors
    /// When there is no canvas.
    pub async fn desktop(&self) -> anyhow::Result<Image> {
        let selector = format!("{} canvas", id("screen"));
        let pixels = self.step(json!({ "do": "pixels", "selector": selector })).await?;
        let side = |name: &str| -> anyhow::Result<u16> {
            Ok(pixels[name].as_u64().context("no size")?.try_into()?)
        };
        let rgba = BASE64_STANDARD.decode(pixels["rgba"].as_str().unwrap_or_default())?;
        Image::new(side("width")?, side("height")?, rgba)
    }

    /// Takes a picture of the page, for a person to look at.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn shoot(&self, name: &str) -> anyhow::Result<()> {
        let path = self.browser.next_shot(name).await;
        self.step(json!({ "do": "shoot", "path": path })).await.map(drop)
    }

    /// Closes the tab, as a person does: nothing in the page is asked.
    ///
    /// # Errors
    /// When the browser is gone.
    pub async fn close(self) -> anyhow::Result<()> {
        self.step(json!({ "do": "close" })).await.map(drop)
    }

    async fn step(&self, step: Value) -> anyhow::Result<Value> {
        let done = self.browser.step(&self.name, step).await;
        if done.is_err() {
            // For whoever wonders why; the error itself is told anyway.
            let path = self.browser.next_shot("failed").await;
            drop(self.browser.step(&self.name, json!({ "do": "shoot", "path": path })).await);
        }
        done
    }
}
