"use strict";
document.documentElement.classList.add("script");

// Tables: a click on a head sorts, the next one turns the order around; what has no value stays last.
function sort(head) {
  const table = head.closest("table"), body = table.tBodies[0], column = head.cellIndex;
  const falling = head.getAttribute("aria-sort") !== "descending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", falling ? "descending" : "ascending");
  const value = row => {
    const told = row.cells[column].dataset.order;
    return told === undefined ? row.cells[column].textContent : told === "" ? null : Number(told);
  };
  const compare = (a, b) => typeof a === "string" ? b.localeCompare(a, undefined, {numeric: true}) : b - a;
  const rows = [...body.rows].map((row, place) => ({row, place, value: value(row)}));
  rows.sort((a, b) => {
    if (a.value === null || b.value === null) return (a.value === null) - (b.value === null) || a.place - b.place;
    return (falling ? compare(a.value, b.value) : -compare(a.value, b.value)) || a.place - b.place;
  });
  body.append(...rows.map(each => each.row));
}
document.querySelectorAll("table.sorts thead th").forEach(head => {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...head.childNodes);
  head.append(button);
  button.addEventListener("click", () => sort(head));
});

// Problems: only those with an attempt of this arm that ended so.
document.querySelectorAll(".filter").forEach(form => {
  const problems = [...form.parentElement.querySelectorAll(".problem")];
  function choose() {
    const arm = form.elements.arm.value, mark = form.elements.mark.value;
    let left = 0;
    for (const problem of problems) {
      let some = false;
      for (const attempt of problem.querySelectorAll(".attempt")) {
        const fits = (!arm || attempt.dataset.arm === arm) && (!mark || attempt.dataset.mark === mark);
        attempt.hidden = !fits;
        some = some || fits;
      }
      problem.hidden = !some;
      left += some;
    }
    form.elements.left.value = `${left} of ${problems.length} problems`;
  }
  form.addEventListener("change", choose);
  choose();
});
