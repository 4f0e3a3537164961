"""The tables and figures of Wang & Osher 2019 as configurations, each at three sizes. No torch here."""
