/** Remembers the results of the latest posts, at most 1,000. A double click gets the result of the first click. */

export class RecentResults<T> {
  readonly #maximum: number;
  readonly #found = new Map<string, Promise<T>>();

  constructor(maximum = 1000) {
    this.#maximum = maximum;
  }

  /**
   * Run `work` once for each key, and return its result to every caller with that key.
   *
   * A result for which `isFinal` returns false is forgotten, so that the next call runs `work` again.
   */
  once(key: string, work: () => Promise<T>, isFinal: (answer: T) => boolean): Promise<T> {
    const known = this.#found.get(key);
    if (known) return known;
    const forget = () => this.#found.delete(key);
    const made = work();
    this.#found.set(key, made);
    made.then((answer) => isFinal(answer) || forget(), forget);
    const oldest = this.#found.keys().next().value;
    if (this.#found.size > this.#maximum && oldest !== undefined) this.#found.delete(oldest);
    return made;
  }
}
