/**
 * Whether somebody is at the page. Requests the page makes by itself carry the relay's header for them, so that live
 * refetches and heartbeats never keep a session alive in front of an empty chair.
 */
const activity = ['pointerdown', 'pointermove', 'keydown', 'wheel', 'touchstart'] as const;
/** A request this long after the last touch is the page's own; a little more than the page's slowest rhythm. */
const presentMs = 70_000;

let lastTouchMs = Date.now();
let covered = false;

/** Notes every touch of the page, from its start to its end. */
export function watchPresence(): void {
  const touched = () => {
    lastTouchMs = Date.now();
  };
  for (const name of activity) addEventListener(name, touched, { passive: true, capture: true });
}

/** While the page is locked nobody uses what is under the cover, however much the mouse moves. */
export function setCovered(now: boolean): void {
  covered = now;
}

export function isBackground(): boolean {
  return covered || Date.now() - lastTouchMs > presentMs;
}

/** To be spread into the headers of a request. */
export function presenceHeaders(): Record<string, string> {
  return isBackground() ? { 'tancho-background': '1' } : {};
}
