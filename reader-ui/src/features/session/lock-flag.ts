/** Says that this browser was left locked; nothing about a patient or a person. A reload or a new tab must not open the lock. */
const key = 'tancho-locked';

export function isLeftLocked(): boolean {
  try {
    return localStorage.getItem(key) !== null;
  } catch {
    return false;
  }
}

export function rememberLock(locked: boolean): void {
  try {
    if (locked) localStorage.setItem(key, '1');
    else localStorage.removeItem(key);
  } catch {
    // Without storage the lock lasts as long as the page.
  }
}
