/** A circuit breaker for the gateway: after a timeout, only the first visitor waits long for it. One for each route. */

/** How long a visitor waits for the gateway while the breaker is open, in milliseconds. */
export const OPEN_TIMEOUT_MS = 300;

export class Breaker {
  #open = false;
  #probing = false;

  /** True if the last request to the gateway timed out. */
  get isOpen(): boolean {
    return this.#open;
  }

  /** Record whether the gateway answered a request in time. A refusal is an answer too. */
  record(answered: boolean): void {
    this.#open = !answered;
  }

  /**
   * Return the result of `work`, or `onTimeout` if there is no result within `OPEN_TIMEOUT_MS`.
   *
   * `work` is called with its timeout in milliseconds. One call at a time is the probe: its timeout is `fullMs`, so
   * that it continues after this method has returned and can close the breaker. All other calls get `OPEN_TIMEOUT_MS`.
   */
  async runWithShortTimeout<T>(
    fullMs: number,
    onTimeout: T,
    work: (timeoutMs: number) => Promise<T>,
  ): Promise<T> {
    if (this.#probing) return work(OPEN_TIMEOUT_MS);
    this.#probing = true;
    const probe = work(fullMs).finally(() => {
      this.#probing = false;
    });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<T>((done) => {
      timer = setTimeout(() => done(onTimeout), OPEN_TIMEOUT_MS);
    });
    return Promise.race([probe, late]).finally(() => clearTimeout(timer));
  }
}
