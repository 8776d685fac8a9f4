/** Remembers that the gateway gave no answer, so that only the first visitor waits for it. One per route. */

/** How long a visitor waits while the gateway is known to be silent. */
export const SILENT_MS = 300;

export class Breaker {
  #open = false;
  #probing = false;

  /** Whether the last request got no answer in time. */
  get isOpen(): boolean {
    return this.#open;
  }

  /** Note whether the gateway answered. Any answer counts, also a refusal. */
  note(answered: boolean): void {
    this.#open = !answered;
  }

  /**
   * Wait at most 300 ms for `work`. One work at a time goes on afterwards, and its late answer closes the breaker;
   * the others end at once. `work` gets the time that it has.
   */
  async short<T>(fullMs: number, silent: T, work: (timeoutMs: number) => Promise<T>): Promise<T> {
    if (this.#probing) return work(SILENT_MS);
    this.#probing = true;
    const probe = work(fullMs).finally(() => {
      this.#probing = false;
    });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<T>((done) => {
      timer = setTimeout(() => done(silent), SILENT_MS);
    });
    return Promise.race([probe, late]).finally(() => clearTimeout(timer));
  }
}
