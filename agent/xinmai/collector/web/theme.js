// SPDX-License-Identifier: Apache-2.0
// Runs before the first paint (a classic script in the head), so that no wrong theme flashes.
(() => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;

  const stored = () => {
    try {
      return window.localStorage.getItem("xinmai.theme");
    } catch {
      return null; // storage may be forbidden; the system's choice then holds
    }
  };

  const apply = () => {
    root.dataset.theme = stored() || (dark.matches ? "dark" : "light");
    window.dispatchEvent(new Event("xinmai:theme"));
  };

  window.xinmaiToggleTheme = () => {
    const next = root.dataset.theme === "dark" ? "light" : "dark";
    try {
      window.localStorage.setItem("xinmai.theme", next);
    } catch {
      // not remembered, still applied
    }
    root.dataset.theme = next;
    window.dispatchEvent(new Event("xinmai:theme"));
  };

  dark.addEventListener("change", apply);
  apply();
})();
