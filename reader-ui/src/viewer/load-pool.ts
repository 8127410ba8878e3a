import type { LoadJob } from './load-order.ts';
import { jobKey } from './load-order.ts';

/** Fetches what `next` names, a few at once, until there is nothing left; woken when there may be more. */
export class LoadPool {
  readonly #next: (tried: ReadonlySet<string>) => LoadJob | null;
  readonly #run: (job: LoadJob) => Promise<void>;
  readonly #parallel: number;
  #tried = new Set<string>();
  #busy = 0;
  #stopped = false;

  constructor(parallel: number, next: (tried: ReadonlySet<string>) => LoadJob | null, run: (job: LoadJob) => Promise<void>) {
    this.#parallel = parallel;
    this.#next = next;
    this.#run = run;
  }

  /** There may be something to fetch. What failed before is tried again only after `forget`. */
  wake(): void {
    while (!this.#stopped && this.#busy < this.#parallel) {
      const job = this.#next(this.#tried);
      if (!job) return;
      this.#tried.add(jobKey(job));
      this.#busy += 1;
      void this.#run(job)
        .catch(() => undefined)
        .finally(() => {
          this.#busy -= 1;
          this.wake();
        });
    }
  }

  /** Another stack: everything may be tried. */
  forget(): void {
    this.#tried = new Set();
  }

  stop(): void {
    this.#stopped = true;
  }
}
