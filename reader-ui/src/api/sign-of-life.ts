/** When the relay last answered or told anything. A live line says nothing for long whiles, and nothing at all once the other end is gone. */
let lastMs = Date.now();

/** Something came from the relay. */
export function noteSignOfLife(): void {
  lastMs = Date.now();
}

export function silentForMs(): number {
  return Date.now() - lastMs;
}
