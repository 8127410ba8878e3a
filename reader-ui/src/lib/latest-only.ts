export interface LatestOnly<Args extends unknown[]> {
  call(...args: Args): void;
  cancel(): void;
}

/** Runs at once, then at most every `everyMs`, each time with the newest arguments; what came in between is dropped. */
export function latestOnly<Args extends unknown[]>(everyMs: number, run: (...args: Args) => void): LatestOnly<Args> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let waiting: Args | null = null;
  const next = () => {
    timer = undefined;
    if (!waiting) return;
    const args = waiting;
    waiting = null;
    timer = setTimeout(next, everyMs);
    run(...args);
  };
  return {
    call(...args) {
      waiting = args;
      if (timer === undefined) next();
    },
    cancel() {
      clearTimeout(timer);
      timer = undefined;
      waiting = null;
    },
  };
}
