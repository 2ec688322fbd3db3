
"use strict";
(function () {
  var audio = document.getElementById("audio");
  var strips = Array.prototype.slice.call(document.querySelectorAll(".strip"));
  var said = Array.prototype.slice.call(document.querySelectorAll("button[data-at]"));
  var line = document.createElement("div");
  line.className = "position";
  document.documentElement.classList.add("has-player");

  function show() {
    var at = audio.currentTime, strip = strips[0], current = null;
    strips.forEach(function (each) { if (Number(each.dataset.start) <= at) { strip = each; } });
    if (line.parentNode !== strip.parentNode) { strip.parentNode.appendChild(line); }
    var box = strip.getBoundingClientRect(), frame = strip.parentNode.getBoundingClientRect();
    var passed = Math.min(1, (at - Number(strip.dataset.start)) / Number(strip.dataset.seconds));
    line.style.left = box.left - frame.left + passed * box.width + "px";
    line.style.top = box.top - frame.top + "px";
    line.style.height = box.height + "px";
    said.forEach(function (button) {
      var row = button.closest("tr");
      row.classList.remove("now");
      if (row.classList.contains("said") && Number(button.dataset.at) <= at + 0.05) { current = row; }
    });
    if (current && at > 0) { current.classList.add("now"); }
  }

  function tick() { show(); if (!audio.paused) { requestAnimationFrame(tick); } }

  function playFrom(at) { audio.currentTime = Math.max(0, at); audio.play(); show(); }

  audio.addEventListener("play", tick);
  audio.addEventListener("seeked", show);
  window.addEventListener("resize", show);
  document.getElementById("time-line").addEventListener("click", function (event) {
    var button = event.target.closest("button[data-at]"), strip = event.target.closest(".strip");
    if (button) { playFrom(Number(button.dataset.at)); return; }
    if (!strip) { return; }
    var box = strip.getBoundingClientRect();
    var within = (event.clientX - box.left) / box.width * Number(strip.dataset.seconds);
    playFrom(Number(strip.dataset.start) + within);
  });
  show();
}());
