//! Waiting for a buffer of a pool.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Instant;

use crate::buf::{BufPool, FixedBuf};
use crate::driver;
use crate::error::LeftBehind;

impl BufPool {
    /// A buffer, as soon as one is free. Waits for as long as it takes, unless a limit is set on it.
    ///
    /// # Cancel safety
    ///
    /// No effect.
    ///
    /// # Errors
    ///
    /// Only those of a limit: see [`OpExt`](crate::OpExt).
    ///
    /// # Backend
    ///
    /// None: the kernel is not asked.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// use std::time::Duration;
    /// use tidegate::{OpExt, buf::BufPool};
    /// let pool = BufPool::builder().count(1).build()?;
    /// let buf = pool.acquire().await?;
    /// let error = pool.acquire().timeout(Duration::from_millis(1)).await.unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    /// drop(buf);
    /// pool.acquire().await?;
    /// # Ok(()) }
    /// ```
    pub fn acquire(&self) -> impl Future<Output = io::Result<FixedBuf>> + Send + use<> {
        let pool = self.clone();
        async move {
            if driver::refused().is_none() {
                if let Some(buf) = pool.try_acquire() {
                    driver::spend().await;
                    return Ok(buf);
                }
            }
            let begun = Instant::now();
            let mut waiting = pin!(pool.wait());
            poll_fn(|cx| match driver::refused() {
                Some(why) => {
                    let left = LeftBehind::NothingHappened;
                    Poll::Ready(Err(why.error(None, None, begun.elapsed(), left).into()))
                }
                None => waiting.as_mut().poll(cx).map(Ok),
            })
            .await
        }
    }
}
