/** The product's mark: a red-crowned crane. */
export function Mark({ className }: { className?: string }) {
  return (
    <svg viewBox="0 0 32 32" className={className} aria-hidden focusable="false">
      <rect width="32" height="32" rx="7" fill="#0b1116" stroke="#263340" />
      <path
        d="M8 25c5-1 8-4 9-9l1-5c.4-2 1.600-3.500 3.500-3.500S25 9 25 11c0 1.500-.8 2.400-2 3"
        fill="none"
        stroke="#e8eef2"
        strokeWidth="2.600"
        strokeLinecap="round"
      />
      <circle cx="21.500" cy="6.500" r="3.200" fill="#e5484d" />
    </svg>
  );
}
