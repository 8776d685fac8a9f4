/** What was sent a moment ago: a double click joins the first one and gets its answer. Bounded memory. */

export class Recent<T> {
  readonly #maximum: number;
  readonly #found = new Map<string, Promise<T>>();

  constructor(maximum = 1000) {
    this.#maximum = maximum;
  }

  /** Run `work` for a key once; forget an answer that is not final. */
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
