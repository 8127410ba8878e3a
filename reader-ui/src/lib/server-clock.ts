/** The relay's clock is the one that counts; this computer's may be wrong by hours. */
let offsetMs = 0;

export function setServerTime(serverTimeMs: number, nowMs = Date.now()): void {
  offsetMs = serverTimeMs - nowMs;
}

export function serverNow(): number {
  return Date.now() + offsetMs;
}
